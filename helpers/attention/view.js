// bertviz's program calls this; both libraries are there already
window.requirejs = (_names, program) => {
  const params = window.bertviz_params;
  params.attention = parts(params.attention, params.second);
  program(window.jQuery, window.d3);
  label(params);
};

// The parts of a pair, in the menu's order, cut from the whole: sent along they would double it.
function parts(whole, second) {
  const rows = (vectors, span) => vectors && vectors.map((l) => l.map((h) => h.slice(...span)));
  const part = (left, right) => ({
    attn: rows(whole.attn, left).map((l) => l.map((h) => h.map((row) => row.slice(...right)))),
    queries: rows(whole.queries, left), keys: rows(whole.keys, right),
    left_text: whole.left_text.slice(...left), right_text: whole.right_text.slice(...right),
  });
  const all = [0], a = [0, second], b = [second];
  const sides = [[all, all], [a, a], [b, b], [a, b], [b, a]];
  return sides.slice(0, second === null ? 1 : 5).map((side) => part(...side));
}

// bertviz numbers what it is given from 0 and leaves the squares of heads without a name.
function label({ include_layers: layers, include_heads: heads, width }) {
  const name = (list, names) =>
    document.querySelectorAll(list).forEach((o, i) => { o.textContent = names[i]; });
  name("#layer option", layers);
  name("#att_head option", heads);
  const squares = () => document.querySelectorAll("#vis > svg > g:last-child > rect").forEach(
    (square, i) => d3.select(square).append("title").text("Head " + heads[i]));
  const watch = () => { if (document.querySelector("#left")) { squares(); } };
  new MutationObserver(watch).observe(document.querySelector("#vis"), { childList: true });
  watch();
  const fit = () => {
    document.documentElement.style.zoom = Math.max(0.6, Math.min(1, innerWidth / width));
  };
  addEventListener("resize", fit);
  fit();
}
