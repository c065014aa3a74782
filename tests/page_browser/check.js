// What a page must be for somebody who does not see it, points with a thumb or types: returns one sentence for each fault.
// Asked as `return check(phone)` after this text.
function check(phone) {
  const faults = [];
  const where = (element) => element.outerHTML.slice(0, 120);
  const shown = (element) => {
    const box = element.getBoundingClientRect();
    return box.width > 1 && box.height > 1 && getComputedStyle(element).visibility !== "hidden" && !element.closest("[hidden]");
  };
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (element) => (element.getAttribute("aria-label") || element.textContent).replace(/\s+/g, " ").trim();

  if (!document.documentElement.lang) faults.push("the page has no language");
  if (!document.title) faults.push("the page has no title");
  if (all("main").length !== 1) faults.push("there is not one main part");
  if (all("h1").length !== 1) faults.push(`there are ${all("h1").length} first headings`);
  let level = 0;
  for (const heading of all("h1, h2, h3, h4")) {
    const now = Number(heading.tagName[1]);
    if (level && now > level + 1) faults.push(`a heading is left out before ${where(heading)}`);
    level = now;
    if (!text(heading)) faults.push(`a heading says nothing: ${where(heading)}`);
  }
  const ids = all("[id]").map((element) => element.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) faults.push(`two things are called ${id}`);
  for (const attribute of ["for", "aria-labelledby", "aria-describedby", "aria-controls"]) {
    for (const element of all(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(/\s+/)) {
        if (!document.getElementById(id)) faults.push(`${attribute} names ${id}, which is not there`);
      }
    }
  }
  for (const input of all("input:not([type=hidden]), select, textarea")) {
    if (![...(input.labels || [])].some((label) => text(label)) && !input.getAttribute("aria-label")) {
      faults.push(`a field has no label: ${where(input)}`);
    }
  }
  for (const control of all("a[href], button, summary")) {
    if (!text(control)) faults.push(`a control has no name: ${where(control)}`);
  }
  const names = new Map();
  for (const link of all("a[href]").filter(shown)) {
    const known = names.get(text(link));
    if (known && known !== link.href && !/^\d+$/.test(text(link)) && !/^(run \d+|thread|in the (thread|ledger).*)$/.test(text(link))) {
      faults.push(`two links are called "${text(link)}" and lead elsewhere: ${known} ${link.href}`);
    }
    names.set(text(link), link.href);
  }
  for (const landmark of all("nav, aside, section")) {
    const by = landmark.getAttribute("aria-labelledby");
    if (!landmark.getAttribute("aria-label") && !(by && document.getElementById(by))) faults.push(`a part has no name: ${where(landmark)}`);
  }
  const roles = ["status", "alert", "log", "region"];
  for (const element of all("[role]")) {
    if (!roles.includes(element.getAttribute("role"))) faults.push(`a role that is not expected: ${where(element)}`);
  }
  for (const element of all("[tabindex]")) {
    if (element.tabIndex > 0) faults.push(`the order of the keyboard is forced: ${where(element)}`);
  }
  for (const element of all("body *").filter(shown)) {
    const style = getComputedStyle(element);
    const scrolls = /auto|scroll/.test(style.overflowY + style.overflowX) && (element.scrollHeight > element.clientHeight + 1 || element.scrollWidth > element.clientWidth + 1);
    if (scrolls && element.tabIndex < 0) faults.push(`the keyboard cannot scroll ${where(element)}`);
  }
  for (const image of all("img")) if (!image.hasAttribute("alt")) faults.push(`a picture without words: ${where(image)}`);
  if (all("[style], style, script:not([src])").length) faults.push("there is style or script in the page itself");

  // Contrast, as WCAG computes it.
  const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const parse = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
      if (a > 0.99) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const told = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(element)) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(parse(style.color)), light(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const key = `${style.color} ${ground(element)} ${size}`;
    if (ratio < (large ? 3 : 4.5) && !told.has(key)) {
      told.add(key);
      faults.push(`contrast ${ratio.toFixed(2)} of "${walker.currentNode.data.trim().slice(0, 40)}" in ${where(element)}`);
    }
    if (size < 12) faults.push(`text of ${size} px: ${where(element)}`);
  }

  // A thumb's targets. A link within a sentence is as large as its sentence allows.
  const inline = (link) => link.tagName === "A" && [...link.parentElement.childNodes].some((node) => node !== link && node.textContent.trim());
  if (phone) {
    for (const control of all("button, input:not([type=hidden]), summary, a[href]").filter(shown)) {
      const box = control.getBoundingClientRect();
      if (!inline(control) && (box.height < 43.5 || box.width < 24)) faults.push(`a target of ${box.width.toFixed(0)} × ${box.height.toFixed(0)} px: ${where(control)}`);
    }
  }
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    const wide = all("body *").filter((element) => shown(element) && element.getBoundingClientRect().right > width + 1).map(where);
    faults.push(`the page is wider than the screen: ${wide[0]}`);
  }
  return faults;
}
