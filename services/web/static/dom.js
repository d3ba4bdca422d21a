// Elements without markup in text: whatever is shown goes in as text, so nothing that was typed somewhere can run here.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (`class`, `data-…`, …) and children: elements, texts, or nothing (null, false). */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false && value !== undefined) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== false && child !== undefined));
  return element;
}

/** One of the page's shapes; the word beside it is what is read out. */
export function shape(name) {
  return s("svg", { class: "shape", "aria-hidden": "true" }, s("use", { href: `#s-${name}` }));
}

/**
 * Makes the children of `parent` those of `items`, in their order. An item whose `print` is the same as before keeps
 * its element, so that whoever is on it with the keyboard or a screen reader stays there.
 */
export function keyed(parent, items, key, print, make) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const text = print(item);
    let child = before.get(name);
    before.delete(name);
    if (!child || child.dataset.print !== text) {
      const fresh = make(item, child !== undefined);
      fresh.dataset.key = name;
      fresh.dataset.print = text;
      if (child) {
        const focused = child.contains(document.activeElement);
        if (child === place) place = child.nextElementSibling;
        child.replaceWith(fresh);
        if (focused) fresh.focus();
      }
      child = fresh;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const gone of before.values()) gone.remove();
}

/** Replaces what an element holds, but only when it says something else. */
export function put(element, ...children) {
  const fresh = children.flat(Infinity).filter((child) => child !== null && child !== false && child !== undefined);
  const text = JSON.stringify(fresh.map((child) => child.outerHTML ?? String(child)));
  if (element.dataset.print === text) return;
  element.dataset.print = text;
  element.replaceChildren(...fresh);
}
