// Discord's markdown as elements: what strangers write stays text, and no address but http becomes a link.

import { html, useState } from "./vendor/htm-preact.js";

const INLINE = new RegExp(
  [
    String.raw`\\(?<escaped>[^0-9A-Za-z\s])`,
    "`(?<code>[^`]+)`",
    String.raw`<(?<quiet>https?://[^\s<>]+)>`,
    String.raw`(?<link>https?://[^\s<>]+)`,
    String.raw`<@!?(?<user>\d+)>`,
    String.raw`\*\*(?<bold>(?:\\.|[^*\\]|\*(?!\*))+)\*\*`,
    String.raw`__(?<under>(?:\\.|[^_\\])+)__`,
    String.raw`~~(?<gone>(?:\\.|[^~\\])+)~~`,
    String.raw`\|\|(?<hidden>(?:\\.|[^|\\])+)\|\|`,
    String.raw`\*(?<slant>(?:\\.|[^*\s\\])(?:\\.|[^*\\])*)\*`,
  ].join("|"),
  "gu",
);

function Spoiler({ children }) {
  const [shown, show] = useState(false);
  if (shown) return html`<span class="spoiler shown">${children}</span>`;
  return html`<button type="button" class="spoiler" onClick=${() => show(true)}>Spoiler: show</button>`;
}

function Link({ to }) {
  return html`<a href=${to} rel="noreferrer" target="_blank">${to}</a>`;
}

function inline(text, nameOf) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    found.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    const { escaped, code, quiet, link, user, bold, under, gone, hidden, slant } = match.groups;
    const inside = (words) => inline(words, nameOf);
    if (escaped) found.push(escaped);
    else if (code) found.push(html`<code>${code}</code>`);
    else if (quiet ?? link) found.push(html`<${Link} to=${quiet ?? link} />`);
    else if (user) found.push(html`<span class="mention">@${nameOf(user)}</span>`);
    else if (bold) found.push(html`<strong>${inside(bold)}</strong>`);
    else if (under) found.push(html`<u>${inside(under)}</u>`);
    else if (gone) found.push(html`<s>${inside(gone)}</s>`);
    else if (hidden) found.push(html`<${Spoiler}>${inside(hidden)}<//>`);
    else found.push(html`<em>${inside(slant)}</em>`);
  }
  found.push(text.slice(end));
  return found;
}

export function Markdown({ text, nameOf }) {
  return text.split("\n").map((line) => {
    const small = line.startsWith("-# ");
    return html`<p class=${small ? "small" : undefined}>${inline(small ? line.slice(3) : line, nameOf)}</p>`;
  });
}
