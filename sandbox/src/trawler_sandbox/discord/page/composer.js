// The line in which one writes: words, or a command with its options inline.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Avatar } from "./message.js";

const CHAT = 1;
const SUBCOMMAND = 1;
const BOOLEAN = 5;
const PAUSE = 150; // milliseconds until completions are asked for

// A command with subcommands is as many commands for who types.
function spoken(store, command) {
  const parts = (command.options ?? []).filter((option) => option.type === SUBCOMMAND);
  if (!parts.length) return [{ of: command, part: null, name: store.called(command), about: store.described(command), options: command.options ?? [] }];
  return parts.map((part) => ({
    of: command,
    part,
    name: `${store.called(command)} ${store.called(part)}`,
    about: store.described(part),
    options: part.options ?? [],
  }));
}

// A listbox under an input, moved through with the arrow keys.
export function useList(items, choose) {
  const [at, move] = useState(0);
  const marked = Math.min(at, items.length - 1);
  const names = items.map((item) => item.name).join("\n");
  useEffect(() => move(0), [names]);
  const onKeyDown = (event) => {
    if (!items.length) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) move((marked + step + items.length) % items.length);
    else if (event.key === "Enter" || event.key === "Tab") choose(items[marked]);
    else return false;
    event.preventDefault();
    return true;
  };
  return { marked, onKeyDown };
}

function Listbox({ id, label, items, marked, choose, row }) {
  const list = useRef(null);
  useEffect(() => list.current?.children[marked]?.scrollIntoView({ block: "nearest" }), [marked, items]);
  if (!items.length) return null;
  return html`<ul ref=${list} id=${id} role="listbox" aria-label=${label} class="suggestions">
    ${items.map(
      (item, index) => html`<li
        key=${index}
        id=${`${id}-${index}`}
        role="option"
        aria-selected=${String(index === marked)}
        onMouseDown=${(event) => (event.preventDefault(), choose(item))}
      >
        ${row(item)}
      </li>`,
    )}
  </ul>`;
}

export function Composer({ store }) {
  const [text, write] = useState("");
  const [command, pick] = useState(null);
  const [shut, shutList] = useState(false);
  const input = useRef(null);
  const typed = text.startsWith("/") ? text.slice(1).toLowerCase() : null;
  const all = store.commands.filter((each) => each.type === CHAT).flatMap((each) => spoken(store, each));
  const found = typed === null || shut ? [] : all.filter((each) => each.name.startsWith(typed.trimEnd()) || typed.startsWith(`${each.name} `));
  const choose = (item) => {
    const rest = text.slice(1 + item.name.length).trim(); // what was typed behind the name is its first option
    write("");
    pick({ ...item, rest: text.slice(1).toLowerCase().startsWith(item.name) ? rest : "" });
  };
  const { marked, onKeyDown } = useList(found, choose);
  const back = () => {
    pick(null);
    setTimeout(() => input.current?.focus());
  };
  const send = async (event) => {
    event.preventDefault();
    const content = text.trim();
    if (!content) return;
    if (content.startsWith("/")) {
      const exact = all.find((each) => `${content.toLowerCase()} `.startsWith(`/${each.name} `));
      if (exact) choose(exact);
      else store.toast("There is no such command here. Type / to see all of them.");
      return;
    }
    write("");
    if (!(await store.say(content))) write((now) => now || content);
  };
  const key = (event) => {
    if (onKeyDown(event)) return;
    if (event.key === "Escape" && found.length) shutList(true);
  };
  if (command) return html`<${CommandLine} key=${command.name} store=${store} command=${command} back=${back} />`;
  const channel = store.channel ? `#${store.channel.name}` : "";
  return html`<form class="composer" autocomplete="off" onSubmit=${send}>
    <${Listbox} id="commands" label="Commands" items=${found} marked=${marked} choose=${choose} row=${(item) => html`<${CommandRow} store=${store} item=${item} />`} />
    <div class="line">
      <input
        ref=${input}
        value=${text}
        onInput=${(event) => (write(event.target.value), shutList(false))}
        onKeyDown=${key}
        role="combobox"
        aria-label="Message"
        aria-expanded=${String(found.length > 0)}
        aria-controls="commands"
        aria-autocomplete="list"
        aria-activedescendant=${found.length ? `commands-${marked}` : undefined}
        placeholder=${`Message ${channel}, or / for a command`}
        maxlength="2000"
      />
      <button type="submit" class="primary">Send</button>
    </div>
  </form>`;
}

function CommandRow({ store, item }) {
  const application = store.applications.get(item.of.application_id);
  return html`${application && html`<${Avatar} user=${application.bot} small />`}
    <span class="grow"><strong>/${item.name}</strong> <span class="quiet">${item.about}</span></span>
    <span class="quiet">${application?.name}</span>`;
}

// A command being filled in: what it needs at once, the rest where one asks for it.
function CommandLine({ store, command, back }) {
  const first = command.options[0]?.name;
  const [values, set] = useState(first && command.rest ? { [first]: command.rest } : {});
  const [added, add] = useState([]);
  const [focused, focus] = useState(null);
  const form = useRef(null);
  const shown = command.options.filter((option) => option.required || added.includes(option.name));
  const hidden = command.options.filter((option) => !shown.includes(option));
  useEffect(() => {
    const wanted = focused ? `#option-${CSS.escape(focused)}` : "input, select, button[type=submit]";
    form.current?.querySelector(wanted)?.focus();
  }, [focused, added.length]);
  const given = (also = {}) => {
    const all = { ...values, ...also };
    return command.options.filter((option) => (all[option.name] ?? "") !== "").map((option) => ({ type: option.type, name: option.name, value: typed(option, all[option.name]) }));
  };
  const nested = (options) => (command.part ? [{ type: SUBCOMMAND, name: command.part.name, options }] : options);
  const send = async (event) => {
    event.preventDefault();
    const fields = [...form.current.querySelectorAll("[data-option]")].map((input) => [input.dataset.option, input.dataset.chosen || input.value]);
    const missing = command.options.find((option) => option.required && !fields.some(([name, value]) => name === option.name && value));
    if (missing) {
      store.toast(`${store.called(missing)} is needed.`);
      return;
    }
    store.run(command.of, { options: nested(given(Object.fromEntries(fields))) });
    back();
  };
  const complete = (option, text) => {
    const others = given().filter((each) => each.name !== option.name);
    return store.complete(command.of, nested([...others, { type: option.type, name: option.name, value: text, focused: true }]));
  };
  const key = (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) back();
  };
  const more = (option) => {
    add([...added, option.name]);
    focus(option.name);
  };
  return html`<form ref=${form} class="composer command" autocomplete="off" aria-label=${`/${command.name}`} onSubmit=${send} onKeyDown=${key}>
    <p class="about"><strong>/${command.name}</strong> <span class="quiet">${command.about}</span></p>
    <div class="line">
      <span class="chip">/${command.name}</span>
      ${shown.map(
        (option) =>
          html`<${Option} key=${option.name} store=${store} option=${option} value=${values[option.name] ?? ""} set=${(value) => set((before) => ({ ...before, [option.name]: value }))} complete=${complete} />`,
      )}
      <button type="submit" class="primary">Send</button>
    </div>
    <div class="optional">
      ${hidden.map((option) => html`<button key=${option.name} type="button" class="secondary" title=${store.described(option)} onClick=${() => more(option)}>+ ${store.called(option)}</button>`)}
      <button type="button" class="text" onClick=${back}>Cancel command</button>
    </div>
  </form>`;
}

function typed(option, text) {
  if (option.type === BOOLEAN) return text === "true";
  return option.type === 4 ? Number.parseInt(text, 10) : option.type === 10 ? Number(text) : text;
}

function Option({ store, option, value, set, complete }) {
  const id = `option-${option.name}`;
  const name = store.called(option);
  const label = `${name}: ${store.described(option)}`;
  const fixed = option.type === BOOLEAN ? [{ name: "yes", value: "true" }, { name: "no", value: "false" }] : option.choices;
  const field = fixed?.length
    ? html`<select id=${id} data-option=${option.name} value=${value} aria-label=${label} onChange=${(event) => set(event.target.value)}>
        <option value=""></option>
        ${fixed.map((each) => html`<option key=${each.value} value=${each.value}>${store.called(each)}</option>`)}
      </select>`
    : html`<${Completed} id=${id} option=${option} name=${name} label=${label} value=${value} set=${set} complete=${complete} />`;
  return html`<span class="option"><span class="name" aria-hidden="true">${name}</span>${field}</span>`;
}

// What was found for a text that is no longer there must not be taken for the one that is.
function Completed({ id, option, name, label, value, set, complete }) {
  const [found, show] = useState([]);
  const asked = useRef(0);
  const timer = useRef(0);
  const forget = () => {
    clearTimeout(timer.current);
    asked.current += 1;
    show([]);
  };
  const ask = (text) => {
    if (!option.autocomplete) return;
    forget();
    const mine = asked.current;
    timer.current = setTimeout(async () => {
      const items = await complete(option, text);
      if (mine === asked.current) show(items);
    }, PAUSE);
  };
  useEffect(() => forget, []);
  const [chosen, take] = useState(null); // its name is shown, its value is sent
  const choose = (item) => {
    forget();
    take(item);
    set(item.name);
  };
  const { marked, onKeyDown } = useList(found, choose);
  const key = (event) => {
    if (onKeyDown(event)) return;
    if (event.key === "Escape" && found.length) {
      event.preventDefault(); // it closes the list, and not also the command
      forget();
    }
  };
  const role = option.autocomplete ? { role: "combobox", "aria-expanded": String(found.length > 0), "aria-autocomplete": "list", "aria-controls": `${id}-list` } : {};
  return html`<input
      id=${id}
      data-option=${option.name}
      data-chosen=${chosen?.name === value ? chosen.value : undefined}
      value=${value}
      aria-label=${label}
      required=${option.required}
      aria-activedescendant=${found.length ? `${id}-list-${marked}` : undefined}
      onInput=${(event) => (set(event.target.value), ask(event.target.value))}
      onFocus=${(event) => ask(event.target.value)}
      onBlur=${forget}
      onKeyDown=${key}
      ...${role}
    />
    <${Listbox} id=${`${id}-list`} label=${`Suggestions for ${name}`} items=${found} marked=${marked} choose=${choose} row=${(item) => html`<span class="grow">${item.name}</span>`} />`;
}
