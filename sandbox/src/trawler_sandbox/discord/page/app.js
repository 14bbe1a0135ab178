// The page: people, channels, what was written, and the line in which one writes.

import { html, render, useEffect, useLayoutEffect, useMemo, useReducer, useRef, useState } from "./vendor/htm-preact.js";
import { Composer } from "./composer.js";
import { Avatar, Message } from "./message.js";
import { Store } from "./store.js";

const GROUP = 7 * 60 * 1000; // milliseconds in which messages of one person stand together
const MENU = 3;
const THREADS = new Set([10, 11, 12]);
const SIGNS = { 1: "@", 2: "🔊", 5: "📣", 15: "🗂" };

function useStore(store) {
  const [, draw] = useReducer((count) => count + 1, 0);
  useEffect(() => store.subscribe(draw), [store]);
}

function sign(channel) {
  return THREADS.has(channel.type) ? "↳" : (SIGNS[channel.type] ?? "#");
}

function Sidebar({ store, shown, hide }) {
  const [theme, choose] = useTheme();
  return html`<nav class=${`sidebar ${shown ? "shown" : ""}`} aria-label="Channels">
    <p class="guild">${store.guild?.name ?? "…"}</p>
    <ul>
      ${store.channels.map(
        (channel) => html`<li key=${channel.id}>
          <button
            type="button"
            class=${THREADS.has(channel.type) ? "thread" : ""}
            aria-current=${String(channel.id === store.channel?.id)}
            onClick=${() => (hide(), store.open(channel))}
          >
            <span aria-hidden="true">${sign(channel)}</span> ${channel.name}${channel.nsfw ? html` <span class="app">18+</span>` : ""}
          </button>
        </li>`,
      )}
    </ul>
    <div class="you">
      ${store.me && html`<${Avatar} user=${store.me} />`}
      <div class="grow">
        <label class="quiet" for="who">You are</label>
        <select id="who" onChange=${(event) => (hide(), store.enter(event.target.value))}>
          ${store.people.map((user) => html`<option key=${user.id} value=${user.token}>${user.name}</option>`)}
        </select>
      </div>
      <button type="button" class="text" aria-label=${`Use the ${theme === "dark" ? "light" : "dark"} theme`} onClick=${choose}>${theme === "dark" ? "☀" : "☾"}</button>
    </div>
    <p id="state" role="status" class="quiet">${store.status}</p>
  </nav>`;
}

function useTheme() {
  const preferred = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  const [theme, set] = useState(localStorage.getItem("theme") ?? preferred);
  useLayoutEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  const toggle = () => {
    const other = theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", other);
    set(other);
  };
  return [theme, toggle];
}

function begins(message, before) {
  if (!before || before.author.id !== message.author.id) return true;
  if (message.interaction_metadata || message.referenced_message || before.flags & 64 || message.flags & 64) return true;
  return new Date(message.timestamp) - new Date(before.timestamp) > GROUP;
}

// Whoever looks at the end goes on looking at it, also when a picture or a player grows.
function Log({ store }) {
  const log = useRef(null);
  const atEnd = useRef(true);
  const [open, setOpen] = useState(null);
  const apps = useMemo(() => store.commands.filter((command) => command.type === MENU), [store.commands]);
  const toEnd = () => {
    if (atEnd.current && log.current) log.current.scrollTop = log.current.scrollHeight;
  };
  const scrolled = ({ target }) => {
    atEnd.current = target.scrollHeight - target.scrollTop - target.clientHeight < 80;
  };
  useLayoutEffect(toEnd, [store.messages]);
  useEffect(() => {
    atEnd.current = true;
    setOpen(null);
  }, [store.channel?.id]);
  useEffect(() => {
    const grown = new ResizeObserver(toEnd);
    grown.observe(log.current);
    grown.observe(log.current.firstElementChild);
    return () => grown.disconnect();
  }, []);
  return html`<div id="log" ref=${log} role="log" aria-live="polite" aria-label="Messages" tabindex="0" onScroll=${scrolled}>
    <div class="messages">
      ${store.channel && html`<div class="welcome"><h2>Welcome to ${sign(store.channel)}${store.channel.name}!</h2><p class="quiet">Type <kbd>/</kbd> to see what you can ask for.</p></div>`}
      ${store.messages.map(
        (message, at) =>
          html`<${Message} key=${message.id} message=${message} first=${begins(message, store.messages[at - 1])} store=${store} apps=${apps} open=${open === message.id} setOpen=${setOpen} />`,
      )}
    </div>
  </div>`;
}

function Toasts({ store }) {
  return html`<div id="toasts" role="alert">
    ${store.toasts.map(
      (toast) => html`<p key=${toast.id} class="toast"><span>${toast.words}</span><button type="button" class="text" aria-label="Dismiss this notice" onClick=${() => store.dismiss(toast.id)}>✕</button></p>`,
    )}
  </div>`;
}

function Modal({ store }) {
  const dialog = useRef(null);
  const shown = store.modal;
  useEffect(() => {
    if (shown) dialog.current?.showModal();
  }, [shown]);
  if (!shown) return null;
  const fields = shown.components.flatMap((row) => row.components ?? [row.component]).filter(Boolean);
  const send = (event) => {
    event.preventDefault();
    store.submit(shown, [...new FormData(event.target).entries()]);
  };
  const close = () => {
    store.modal = null;
    store.changed();
  };
  return html`<dialog ref=${dialog} aria-labelledby="modal-title" onClose=${close}>
    <form onSubmit=${send}>
      <h2 id="modal-title">${shown.title}</h2>
      ${fields.map((field) => html`<label key=${field.custom_id}>${field.label ?? field.custom_id}<${Field} field=${field} /></label>`)}
      <div class="row"><button type="submit" class="primary">Send</button><button type="button" class="secondary" onClick=${close}>Back</button></div>
    </form>
  </dialog>`;
}

// What one types stays while messages arrive.
function Field({ field }) {
  const [value, set] = useState(field.value ?? "");
  const shared = { name: field.custom_id, required: field.required, value, onInput: (event) => set(event.target.value) };
  return field.style === 2 ? html`<textarea rows="4" ...${shared}></textarea>` : html`<input ...${shared} />`;
}

function App({ store }) {
  useStore(store);
  const [shown, show] = useState(false);
  useEffect(() => {
    const close = (event) => event.key === "Escape" && show(false);
    addEventListener("keydown", close);
    return () => removeEventListener("keydown", close);
  }, []);
  return html`<button type="button" class=${`backdrop ${shown ? "shown" : ""}`} aria-label="Close the list of channels" tabindex=${shown ? 0 : -1} onClick=${() => show(false)}></button>
    <${Sidebar} store=${store} shown=${shown} hide=${() => show(false)} />
    <main>
      <h1 class="unseen">Discord in a box</h1>
      <header>
        <button type="button" class="text burger" aria-label="Channels" aria-expanded=${String(shown)} onClick=${() => show(!shown)}>☰</button>
        <h2>${store.channel ? `${sign(store.channel)} ${store.channel.name}` : "…"}</h2>
      </header>
      <${Log} store=${store} />
      <${Composer} store=${store} />
    </main>
    <${Toasts} store=${store} />
    <${Modal} store=${store} />`;
}

const store = new Store();
render(html`<${App} store=${store} />`, document.getElementById("app"));
store.begin().catch((error) => store.toast(`This page needs the emulator's own side: ${error.message}`));
