// A message: who, when, by which command; text, embeds, files that play, buttons.

import { Component, html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Markdown } from "./markdown.js";

const COLOURS = 8;
const AGAIN = 1000; // milliseconds until the same may be pressed again
const ONLY_YOU = 64;
const THINKING = 128;
const BUTTON = 2;
const SELECT = 3;
const TYPED = /^[\p{Ll}\d_ -]+$/u; // the name of a command that is typed; those of menus have capitals
const UNITS = ["B", "KB", "MB", "GB"];

// As Discord counts: a MB has 1,048,576 bytes.
export function size(bytes) {
  let [value, at] = [bytes, 0];
  while (value >= 999.5 && at < UNITS.length - 1) [value, at] = [value / 1024, at + 1];
  return `${at === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(2).replace(/\.?0+$/, "")} ${UNITS[at]}`;
}

export function Avatar({ user, small }) {
  const name = user.global_name ?? user.username;
  const colour = Number(BigInt(user.id) % BigInt(COLOURS));
  return html`<span class="avatar colour-${colour} ${small ? "small" : ""}" aria-hidden="true">${user.bot ? "⇣" : name.slice(0, 1).toUpperCase()}</span>`;
}

// An attachment's address is the one by which a cluster finds it; here the page is at the same server.
const here = (address) => new URL(address).pathname;

function Player({ file, kind }) {
  const name = file.description ?? file.filename;
  const src = here(file.url);
  if (kind === "video") return html`<video controls preload="metadata" src=${src} aria-label=${name}></video>`;
  if (kind === "audio") return html`<audio controls preload="metadata" src=${src} aria-label=${name}></audio>`;
  if (kind === "image") return html`<img src=${src} alt=${name} loading="lazy" />`;
  return null;
}

function File({ file }) {
  const [shown, show] = useState(!file.filename.startsWith("SPOILER_"));
  const kind = (file.content_type ?? "").split("/")[0];
  return html`<figure class="file ${kind}" data-id=${file.id}>
    ${shown
      ? html`<${Player} file=${file} kind=${kind} />`
      : html`<button type="button" class="cover" onClick=${() => show(true)}>Spoiler: show ${kind || "file"}</button>`}
    <figcaption>
      <a href=${here(file.url)} download=${file.filename}>${file.filename}</a>
      <span class="quiet">${size(file.size)}</span>
    </figcaption>
  </figure>`;
}

function Embed({ of, nameOf }) {
  const large = of.image?.url;
  return html`<div class="embed">
    <div>
      ${of.title && html`<strong>${of.title}</strong>`}
      ${of.description && html`<${Markdown} text=${of.description} nameOf=${nameOf} />`}
      ${(of.fields ?? []).map((field) => html`<p key=${field.name}><strong>${field.name}</strong> ${field.value}</p>`)}
      ${large && html`<img class="large" src=${large} alt="" />`}
      ${of.footer && html`<p class="quiet">${of.footer.text}</p>`}
    </div>
    ${of.thumbnail?.url && html`<img class="thumbnail" src=${of.thumbnail.url} alt="" />`}
  </div>`;
}

// A second press is not sent while the first one is on its way.
function usePress(press) {
  const [busy, set] = useState(false);
  const send = async () => {
    if (busy) return;
    set(true);
    await press();
    setTimeout(() => set(false), AGAIN);
  };
  return [busy, send];
}

const STYLES = { 1: "primary", 2: "secondary", 3: "success", 4: "danger" };

function PressButton({ of, press }) {
  if (of.url) return html`<a class="button secondary" href=${of.url} rel="noreferrer" target="_blank">${of.label ?? of.url}</a>`;
  const words = [of.emoji?.name, of.label].filter(Boolean).join(" ") || of.custom_id;
  const [busy, send] = usePress(() => press({ component_type: BUTTON, custom_id: of.custom_id }));
  return html`<button type="button" class=${STYLES[of.style] ?? "secondary"} disabled=${of.disabled} aria-disabled=${String(busy)} onClick=${send}>${words}</button>`;
}

// Options to tick, as many as may be chosen.
function Select({ of, press }) {
  const [chosen, choose] = useState([]);
  const many = of.max_values > 1;
  const toggle = (value) => {
    const rest = chosen.filter((each) => each !== value);
    choose(rest.length < chosen.length ? rest : many ? [...rest, value].slice(-of.max_values) : [value]);
  };
  const [busy, send] = usePress(() => press({ component_type: SELECT, custom_id: of.custom_id, values: chosen }));
  return html`<fieldset class="select">
    <legend>${of.placeholder ?? "Choose"}</legend>
    <div class="options">
      ${of.options.map(
        (option) => html`<label key=${option.value}>
          <input type=${many ? "checkbox" : "radio"} name=${of.custom_id} checked=${chosen.includes(option.value)} onChange=${() => toggle(option.value)} />
          <span>${option.label} ${option.description && html`<small>${option.description}</small>`}</span>
        </label>`,
      )}
    </div>
    <button type="button" class="primary" disabled=${of.disabled || chosen.length < (of.min_values ?? 1)} aria-disabled=${String(busy)} onClick=${send}>Choose</button>
  </fieldset>`;
}

function Row({ row, press }) {
  return html`<div class="row">
    ${(row.components ?? []).map((each) => {
      if (each.type === BUTTON) return html`<${PressButton} key=${each.custom_id ?? each.url} of=${each} press=${press} />`;
      return each.type === SELECT ? html`<${Select} key=${each.custom_id} of=${each} press=${press} />` : null;
    })}
  </div>`;
}

function Used({ by, command }) {
  return html`<p class="used"><${Avatar} user=${by} small /><strong>${by.global_name ?? by.username}</strong> used <span class="mention">${TYPED.test(command) ? `/${command}` : command}</span></p>`;
}

function Reply({ to, nameOf }) {
  return html`<p class="used"><${Avatar} user=${to.author} small /><strong>${to.author.global_name ?? to.author.username}</strong> <span class="quiet">${nameOf && to.content.slice(0, 80)}</span></p>`;
}

function Head({ message }) {
  const { author, timestamp } = message;
  const time = new Date(timestamp).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return html`<header>
    <h3>${author.global_name ?? author.username}</h3>
    ${author.bot && html`<span class="app">APP</span>`}
    <time datetime=${timestamp}>${time}</time>
  </header>`;
}

// One is drawn anew only when something of it changed.
export class Message extends Component {
  shouldComponentUpdate(next) {
    return next.message !== this.props.message || next.first !== this.props.first || next.apps !== this.props.apps || next.open !== this.props.open;
  }

  render({ message, first, store, apps, open, setOpen }) {
    const nameOf = (id) => store.nameOf(id);
    const onlyYou = Boolean(message.flags & ONLY_YOU);
    const asked = message.interaction_metadata;
    const command = asked?.type === 2 ? asked.name : null;
    const acts = apps.length > 0 || store.mayDelete(message);
    const menu = (event) => {
      if (!acts || onlyYou) return;
      event.preventDefault();
      setOpen(message.id);
    };
    return html`<article id=${`m${message.id}`} class="${first ? "first" : ""} ${onlyYou ? "only-you" : ""}" onContextMenu=${menu}>
      ${command && html`<${Used} by=${asked.user} command=${command} />`}
      ${message.referenced_message && html`<${Reply} to=${message.referenced_message} nameOf=${nameOf} />`}
      ${first && html`<${Avatar} user=${message.author} />`}
      <div class="body">
        ${first && html`<${Head} message=${message} />`}
        <div class="content">
          ${message.flags & THINKING ? html`<p class="quiet">is thinking …</p>` : html`<${Markdown} text=${message.content} nameOf=${nameOf} />`}
          ${message.edited_timestamp && message.content && html`<span class="edited">(edited)</span>`}
        </div>
        ${message.embeds.map((each, at) => html`<${Embed} key=${at} of=${each} nameOf=${nameOf} />`)}
        ${message.attachments.length > 0 &&
        html`<div class="gallery of-${Math.min(message.attachments.length, 4)} ${message.attachments.some((each) => each.content_type?.startsWith("audio/")) ? "audio" : ""}">
          ${message.attachments.map((each) => html`<${File} key=${each.id} file=${each} />`)}
        </div>`}
        ${message.components.map((row, at) => html`<${Row} key=${at} row=${row} press=${(data) => store.press(message, data)} />`)}
        ${message.thread && html`<p class="quiet">Thread: ${message.thread.name}</p>`}
        ${onlyYou &&
        html`<p class="notice"><span>Only you can see this.</span><button type="button" class="text" onClick=${() => store.hide(message.id)}>Dismiss</button></p>`}
      </div>
      ${!onlyYou && acts && html`<${Apps} message=${message} apps=${apps} store=${store} open=${open} setOpen=${setOpen} />`}
    </article>`;
  }
}

// What an application offers for a message: by right click, or by a button.
function Apps({ message, apps, store, open, setOpen }) {
  const menu = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    menu.current?.querySelector("button")?.focus();
    const outside = (event) => menu.current?.parentElement.contains(event.target) || setOpen(null);
    const escape = (event) => event.key === "Escape" && setOpen(null);
    addEventListener("pointerdown", outside);
    addEventListener("keydown", escape);
    return () => {
      removeEventListener("pointerdown", outside);
      removeEventListener("keydown", escape);
    };
  }, [open]);
  const run = (command) => {
    setOpen(null);
    store.run(command, { target_id: message.id });
  };
  return html`<div class="apps">
    <button type="button" class="more" aria-label="More for this message" aria-expanded=${String(open)} onClick=${() => setOpen(open ? null : message.id)}>⋯</button>
    ${open &&
    html`<div ref=${menu} class="menu" role="group" aria-label="More">
      ${apps.map((each) => html`<button key=${each.id} type="button" onClick=${() => run(each)}>${store.called(each)}</button>`)}
      ${store.mayDelete(message) && html`<button type="button" class="delete" onClick=${() => (setOpen(null), store.remove(message))}>Delete message</button>`}
    </div>`}
  </div>`;
}
