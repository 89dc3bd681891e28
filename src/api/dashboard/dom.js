// Dom: elements in one call, and redrawing that neither steals the focus nor runs more often than the screen.

/** An element with attributes and children. `on…` attributes are listeners; null and false children are left out. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Writes only what has changed, so that a live region speaks only of changes. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Runs `draw` before the next frame, however often it is asked for. */
export function batched(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

/** Puts new children in, and keeps the focus, open parts and scrolling of those that have the same `data-key`. */
export function redraw(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const open = new Set([...parent.querySelectorAll("details[open][data-key]")].map((part) => part.dataset.key));
  parent.replaceChildren(...children.flat(Infinity).filter(Boolean));
  for (const part of parent.querySelectorAll("details[data-key]")) part.open = open.has(part.dataset.key);
  if (focused) parent.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** A button that copies `text` and says so. */
export function copyButton(text, what) {
  const button = h(
    "button",
    { type: "button", class: "quiet copy", "aria-label": `Copy ${what}`, "data-key": `copy ${what}` },
    "Copy",
  );
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text)) ? "Copied" : "Not copied";
    setTimeout(() => {
      button.textContent = "Copy";
    }, 1500);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that came over plain HTTP from another machine have no clipboard of their own, but may copy a selection.
    const [focused, area] = [document.activeElement, h("textarea", { class: "hidden" }, text)];
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return copied;
  }
}

/** Says something to who cannot see the page change. */
export function announce(text) {
  byId("announce").textContent = text;
}
