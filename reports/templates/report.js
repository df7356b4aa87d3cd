"use strict";
// The page is whole without this script: it only filters, shows details and opens all for printing.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const KINDS = ["country", "network", "target"];

  // --- filter ------------------------------------------------------------------------------
  const filter = (form, note) => {
    const offered = KINDS.filter((kind) => form.elements[kind].options.length > 2);
    for (const kind of KINDS) form.querySelector(`[data-of=${kind}]`).hidden = !offered.includes(kind);
    form.hidden = offered.length === 0;

    const matches = (element, kind) => {
      const wanted = form.elements[kind].value, own = element.dataset[kind];
      return !wanted || own === undefined || own.split(" ").includes(wanted);
    };
    const apply = () => {
      for (const element of all("main [data-country], main [data-network], main [data-target]")) {
        const shown = KINDS.every((kind) => matches(element, kind));
        if (element instanceof SVGElement) element.classList.toggle("dim", !shown);
        else element.hidden = !shown;
      }
      const chosen = offered.map((kind) => form.elements[kind]).filter((select) => select.value);
      const words = chosen.map((select) => select.selectedOptions[0].textContent).join(", ");
      note.textContent = words ? note.dataset.text.replace("{choice}", () => words) : "";
    };
    form.addEventListener("change", apply);
    form.addEventListener("reset", () => setTimeout(apply));
    form.addEventListener("submit", (event) => event.preventDefault());
  };
  const form = document.querySelector(".filter"); // a page on one incident has none
  if (form) filter(form, document.querySelector(".filtered"));

  // --- details -----------------------------------------------------------------------------
  const tip = document.querySelector(".tip");
  const parts = new WeakMap(); // of a lane: what can be pointed at, as {x, text}
  let current = null; // the lane that shows a detail
  let again = () => {}; // shows it where the lane is now

  // Titles would show a second time, and never on touch.
  for (const title of all("svg.timeline title")) {
    const owner = title.parentNode;
    if (owner.matches("svg")) continue;
    owner.dataset.title = title.textContent;
    title.remove();
  }
  for (const part of all("svg.timeline .lane, svg.timeline .flag")) part.setAttribute("tabindex", "0");
  for (const flag of all("svg.timeline .flag")) {
    flag.setAttribute("role", "img");
    flag.setAttribute("aria-label", flag.dataset.title);
  }

  const language = document.documentElement.lang.replace(/^en$/, "en-GB");
  const days = new Intl.DateTimeFormat(language, { timeZone: "UTC", day: "numeric", month: "long" });
  const day = (seconds) => days.format(seconds * 1000);
  const moment = (seconds) => `${day(seconds)} ${new Date(seconds * 1000).toISOString().slice(11, 16)} UTC`;
  const span = (seconds, step) => {
    if (step < 86400) return moment(seconds);
    return step > 86400 ? `${day(seconds)} – ${day(seconds + step - 86400)}` : day(seconds);
  };
  const rows = (text) => (text || "").split(";").filter(Boolean).map((row) => row.split(",").map(Number));
  const partsOf = (lane) => {
    if (parts.has(lane)) return parts.get(lane);
    const svg = lane.ownerSVGElement, since = +svg.dataset.since, step = +svg.dataset.step;
    const scale = (svg.viewBox.baseVal.width - 12) / (svg.dataset.until - since);
    const says = (lane.dataset.says || "").split("|");
    const found = rows(lane.dataset.marks).map(([x, minute, index]) => ({ x, text: `${moment(since + 60 * minute)}: ${says[index]}` }));
    const units = rows(lane.dataset.units).flatMap(([first, count, ...seen]) => [...Array(count).keys()].map((n) => [first + n, ...seen]));
    for (const [index, measured, failing] of units) {
      const values = { when: span(since + index * step, step), failing, n: measured };
      const text = tip.dataset.unit.replace(/{(\w+)}/g, (_, name) => values[name]);
      found.push({ x: 6 + (index + 0.5) * step * scale, text });
    }
    parts.set(lane, found);
    return found;
  };
  const hide = () => {
    tip.hidden = true;
    if (current) current.querySelector(".cursor").setAttribute("d", "");
    current = null;
  };
  const put = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
    tip.style.left = `${Math.max(6, Math.min(x - box.width / 2, room - box.width - 6))}px`;
    tip.style.top = `${y - box.height - 10 > 4 ? y - box.height - 10 : y + 22}px`;
  };
  const show = (lane, part, band) => {
    if (current !== lane) hide();
    current = lane;
    again = () => show(lane, part, band);
    const box = lane.querySelector(".hit").getBBox(), matrix = lane.getScreenCTM();
    const x = part ? part.x : box.x + 60;
    lane.querySelector(".cursor").setAttribute("d", part ? `M${x} ${box.y + 20}v30` : "");
    const name = part || !band ? lane.querySelector(".name").textContent : "";
    const lines = [name, part && part.text, band];
    const place = new DOMPoint(x, box.y + 20).matrixTransform(matrix);
    put(lines.filter(Boolean).join("\n"), place.x, place.y);
  };
  const nearest = (lane, x) => {
    const found = partsOf(lane);
    if (!found.length) return null;
    return found.reduce((best, part) => (Math.abs(part.x - x) < Math.abs(best.x - x) ? part : best));
  };
  const point = (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const flag = target && target.closest("svg.timeline .flag");
    const lane = target && target.closest("svg.timeline .lane");
    if (flag) {
      hide();
      put(flag.dataset.title, event.clientX, event.clientY);
    } else if (lane) {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(lane.getScreenCTM().inverse());
      const part = nearest(lane, place.x), titled = target.closest("[data-title]");
      const near = part && (lane.dataset.units || Math.abs(part.x - place.x) < 14) ? part : null;
      show(lane, near, titled ? titled.dataset.title : "");
    } else hide();
  };
  document.addEventListener("pointermove", (event) => event.pointerType !== "touch" && point(event));
  document.addEventListener("pointerdown", point);
  document.addEventListener("scroll", () => (current ? again() : hide()), { passive: true });

  document.addEventListener("focusin", (event) => {
    const flag = event.target.closest("svg.timeline .flag"), lane = event.target.closest("svg.timeline .lane");
    if (!event.target.matches(":focus-visible")) return;
    if (lane) show(lane, null, `${lane.getAttribute("aria-label")}\n${tip.dataset.keys}`);
    else if (flag) {
      const box = flag.getBoundingClientRect();
      put(flag.dataset.title, box.x + box.width / 2, box.y);
    }
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    const lane = event.target.closest("svg.timeline .lane");
    if (!lane || !["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    const found = partsOf(lane), last = found.length - 1;
    if (last < 0) return;
    const now = lane.dataset.at === undefined ? -1 : +lane.dataset.at;
    const steps = { ArrowLeft: now < 0 ? last : Math.max(0, now - 1), ArrowRight: Math.min(last, now + 1), Home: 0, End: last };
    lane.dataset.at = steps[event.key];
    show(lane, found[lane.dataset.at]);
  });

  // --- printing ----------------------------------------------------------------------------
  let closed = [];
  addEventListener("beforeprint", () => {
    hide();
    closed = all("details:not([open])");
    for (const part of closed) part.open = true;
  });
  addEventListener("afterprint", () => {
    for (const part of closed) part.open = false;
  });
})();
