// Search over the headings of all pages: every word typed must occur. Arrows choose, Enter goes.
(() => {
  const chapters = JSON.parse(document.getElementById("headings").textContent);
  const box = document.getElementById("find"), list = document.getElementById("found");
  const all = chapters.flatMap(chapter => chapter.headings.map(part => ({
    text: part.text, where: chapter.title, href: `${chapter.name}.html#${part.anchor}`,
    words: `${part.text} ${chapter.title}`.toLowerCase(),
  })));
  let chosen = -1;

  const entry = ({ text, where, href }) => {
    const item = document.createElement("li"), link = document.createElement("a");
    const small = document.createElement("small");
    link.href = href;
    link.textContent = text;
    small.textContent = ` ${where}`;
    link.append(small);
    item.append(link);
    return item;
  };

  const mark = by => {
    const items = [...list.querySelectorAll("li:has(a)")];
    if (!items.length) return;
    chosen = (chosen + by + items.length) % items.length;
    items.forEach((item, at) => item.classList.toggle("chosen", at === chosen));
    items[chosen].scrollIntoView({ block: "nearest" });
  };

  box.addEventListener("input", () => {
    const wanted = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = wanted.length ? all.filter(h => wanted.every(w => h.words.includes(w))) : [];
    chosen = -1;
    list.replaceChildren(...hits.slice(0, 30).map(entry));
    if (wanted.length && !hits.length) {
      const none = document.createElement("li");
      none.textContent = "no heading has these words";
      list.append(none);
    }
  });

  box.addEventListener("keydown", event => {
    if (event.key === "ArrowDown") mark(1);
    else if (event.key === "ArrowUp") mark(-1);
    else if (event.key === "Escape") { box.value = ""; list.replaceChildren(); }
    else if (event.key === "Enter") (list.querySelector(".chosen a") ?? list.querySelector("a"))?.click();
    else return;
    event.preventDefault();
  });
})();
