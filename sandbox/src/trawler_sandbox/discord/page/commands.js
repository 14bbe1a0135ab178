// Slash commands: found while one types, filled in as a form, completed by the bot.

import { element } from "./messages.js";

// A listbox under an input, moved through with the arrow keys. `choose` gets the chosen item.
export class Suggestions {
  constructor(input, list, choose) {
    this.input = input;
    this.list = list;
    this.choose = choose;
    this.items = [];
    this.at = -1;
    input.addEventListener("keydown", (event) => this.key(event));
  }

  show(items) {
    this.items = items;
    this.at = items.length ? 0 : -1;
    this.list.replaceChildren(
      ...items.map((item, index) =>
        element(
          "li",
          { role: "option", id: `${this.list.id}-${index}`, "aria-selected": "false", onmousedown: (event) => this.take(event, index) },
          item.name,
          item.description ? element("span", { class: "quiet" }, ` ${item.description}`) : null,
        ),
      ),
    );
    this.list.hidden = items.length === 0;
    this.input.setAttribute("aria-expanded", String(items.length > 0));
    this.mark();
  }

  mark() {
    [...this.list.children].forEach((child, index) => child.setAttribute("aria-selected", String(index === this.at)));
    if (this.at >= 0) this.input.setAttribute("aria-activedescendant", `${this.list.id}-${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
    this.list.children[this.at]?.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    if (this.list.hidden) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      this.at = (this.at + step + this.items.length) % this.items.length;
      this.mark();
    } else if (event.key === "Escape") {
      event.preventDefault(); // it closes the list, and not also the form
      this.show([]);
    } else if (event.key === "Enter" || event.key === "Tab") {
      this.take(event, this.at);
    }
  }

  take(event, index) {
    event.preventDefault();
    const item = this.items[index];
    this.show([]);
    if (item) this.choose(item);
  }
}

const BOOLEAN = 5;

function field(option, complete) {
  const id = `option-${option.name}`;
  const label = element("label", { for: id }, `${option.name}${option.required ? "" : " (optional)"}: ${option.description ?? ""}`);
  const choices = option.type === BOOLEAN ? [{ name: "yes", value: "true" }, { name: "no", value: "false" }] : option.choices;
  if (choices?.length) {
    const none = option.required ? [] : [element("option", { value: "" }, "")];
    const input = element("select", { id }, ...none, ...choices.map((c) => element("option", { value: c.value }, c.name)));
    return { option, input, node: element("div", { class: "field" }, label, input) };
  }
  const list = element("ul", { role: "listbox", id: `${id}-list`, "aria-label": `Suggestions for ${option.name}`, hidden: true });
  const input = element("input", { id, required: option.required, "aria-controls": list.id });
  if (option.autocomplete) {
    for (const [key, value] of Object.entries({ role: "combobox", "aria-expanded": "false", "aria-autocomplete": "list" })) input.setAttribute(key, value);
    const suggestions = new Suggestions(input, list, (item) => {
      input.value = item.value;
      forget();
    });
    let waiting;
    let asked = 0;
    // What was found for a text that is no longer there must not be taken for the one that is.
    const forget = () => {
      clearTimeout(waiting);
      asked += 1;
      suggestions.show([]);
    };
    const ask = () => {
      forget();
      const mine = asked;
      waiting = setTimeout(async () => {
        const found = await complete(option, input.value);
        if (mine === asked) suggestions.show(found);
      }, 150);
    };
    input.addEventListener("input", ask);
    input.addEventListener("focus", ask);
    input.addEventListener("blur", forget);
  }
  return { option, input, node: element("div", { class: "field" }, label, input, list) };
}

function typed(option, text) {
  if (option.type === BOOLEAN) return text === "true";
  return option.type === 4 ? Number.parseInt(text, 10) : option.type === 10 ? Number(text) : text;
}

// Fill in a command; `send` gets its options. `complete(option, text, given)` asks the bot.
export function ask(form, command, { send, complete, cancel }) {
  const given = () =>
    fields
      .filter(({ input }) => input.value !== "")
      .map(({ option, input }) => ({ type: option.type, name: option.name, value: typed(option, input.value) }));
  const fields = (command.options ?? []).map((option) => field(option, (which, text) => complete(which, text, given())));
  form.replaceChildren(
    element("h3", {}, `/${command.name}`, element("span", { class: "quiet" }, ` ${command.description}`)),
    ...fields.map(({ node }) => node),
    element("div", { class: "buttons" }, element("button", { type: "submit" }, "Send"), element("button", { type: "button", onclick: cancel }, "Back")),
  );
  form.onsubmit = (event) => {
    event.preventDefault();
    send(given());
  };
  form.onkeydown = (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) cancel();
  };
  form.hidden = false;
  (fields[0]?.input ?? form.querySelector("button")).focus();
}
