// The page: who one is, where one looks, what is there, what one says.

import { Client } from "./api.js";
import { ask, Suggestions } from "./commands.js";
import { draw, element } from "./messages.js";

const at = (id) => document.getElementById(id);
const problem = (words) => (at("problem").textContent = words ?? "");

const state = { client: null, guild: null, channel: null, commands: [], heard: null, names: new Map(), pending: new Map(), sent: 0 };

async function begin() {
  const there = await (await fetch("/_control/people")).json();
  for (const user of there.people) state.names.set(user.id, user.name);
  const people = there.people.filter((user) => !user.bot);
  at("who").replaceChildren(...people.map((user) => element("option", { value: user.token }, user.name)));
  at("who").onchange = () => enter(at("who").value);
  enter(people[0].token);
}

function enter(token) {
  state.client?.close();
  const client = (state.client = new Client(token));
  state.guild = null;
  client.addEventListener("READY", ({ detail }) => {
    at("state").textContent = `Connected as ${detail.user.username}`;
  });
  client.addEventListener("LOST", () => (at("state").textContent = "Connection lost; trying again …"));
  client.addEventListener("GUILD_CREATE", ({ detail }) => {
    for (const member of detail.members) state.names.set(member.user.id, member.user.username);
    if (state.guild === null) look(detail);
  });
  client.addEventListener("THREAD_CREATE", ({ detail }) => listed(detail));
  for (const name of ["MESSAGE_CREATE", "MESSAGE_UPDATE"]) {
    client.addEventListener(name, ({ detail }) => show(detail));
  }
  client.addEventListener("MESSAGE_DELETE", ({ detail }) => at(`m${detail.id}`)?.remove());
  client.addEventListener("INTERACTION_FAILURE", () => problem("The application did not respond."));
  client.addEventListener("INTERACTION_MODAL_CREATE", ({ detail }) => form(detail));
  client.addEventListener("APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE", ({ detail }) => {
    state.pending.get(detail.nonce)?.(detail.choices);
    state.pending.delete(detail.nonce);
  });
  client.connect();
}

function look(guild) {
  state.guild = guild;
  at("channels").replaceChildren();
  for (const channel of [...guild.channels, ...guild.threads]) listed(channel);
  open(guild.channels[0]);
}

function listed(channel) {
  const mark = channel.type === 11 ? "↳ " : "# ";
  const button = element("button", { type: "button", "data-id": channel.id, onclick: () => open(channel) }, mark + channel.name);
  at("channels").append(element("li", {}, button));
}

async function open(channel) {
  state.channel = channel;
  at("title").textContent = `# ${channel.name}`;
  for (const button of at("channels").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.id === channel.id));
  }
  at("log").replaceChildren();
  const heard = (state.heard = []); // newer than what we ask for: shown after it
  const index = await state.client.ask("GET", `/guilds/${state.guild.id}/application-command-index`);
  state.commands = index.application_commands;
  const past = await state.client.ask("GET", `/channels/${channel.id}/messages?limit=50`);
  if (state.heard !== heard) return; // another one was opened meanwhile
  state.heard = null;
  for (const message of [...past.reverse(), ...heard]) show(message);
}

function show(message) {
  if (message.channel_id !== state.channel?.id) return;
  if (state.heard) {
    state.heard.push(message);
    return;
  }
  const before = at(`m${message.id}`);
  const apps = state.commands
    .filter((command) => command.type === 3)
    .map((command) => ({ name: command.name, run: () => interact(2, command, { type: 3, target_id: message.id }) }));
  const made = draw(message, before, {
    nameOf: (id) => state.names.get(id) ?? id,
    press: (data) => send(3, message.application_id ?? message.author.id, data, { message_id: message.id }),
    apps,
    dismiss: () => at(`m${message.id}`)?.remove(),
  });
  if (before) {
    const focused = before.contains(document.activeElement) ? document.activeElement.textContent : null;
    before.replaceWith(made);
    if (focused) [...made.querySelectorAll("button")].find((b) => b.textContent === focused)?.focus();
    return;
  }
  at("log").append(made);
  toEnd();
}

function toEnd() {
  at("log").scrollTop = at("log").scrollHeight;
}

// a picture or a player grows once its size is known: who looked at the end goes on looking at it
for (const known of ["load", "loadedmetadata"]) {
  at("log").addEventListener(known, ({ target }) => {
    if (at("log").lastElementChild?.contains(target)) toEnd();
  }, true);
}

async function send(type, application, data, more = {}, nonce = String(++state.sent)) {
  problem();
  const body = {
    type,
    application_id: application,
    guild_id: state.guild.id,
    channel_id: state.channel.id,
    session_id: "page",
    nonce,
    data,
    ...more,
  };
  try {
    await state.client.ask("POST", "/interactions", body);
  } catch (error) {
    problem(error.message);
  }
}

function interact(type, command, more, nonce) {
  const data = { id: command.id, name: command.name, type: command.type, ...more };
  return send(type, command.application_id, data, {}, nonce);
}

// the composer -------------------------------------------------------------------------------

const suggestions = new Suggestions(at("say"), at("suggestions"), (command) => fill(command));

at("say").addEventListener("input", () => {
  const text = at("say").value;
  const wanted = text.startsWith("/") ? text.slice(1).toLowerCase() : null;
  const found = state.commands.filter((c) => c.type === 1 && wanted !== null && c.name.startsWith(wanted));
  suggestions.show(found.flatMap(spoken).map((each) => ({ ...each, label: `/${each.name}` })));
});

// A command with subcommands is as many commands for who types.
function spoken(command) {
  const parts = (command.options ?? []).filter((option) => option.type === 1);
  if (!parts.length) return [{ ...command, of: command, path: null }];
  return parts.map((part) => ({ ...part, name: `${command.name} ${part.name}`, of: command, path: part.name }));
}

function fill(chosen) {
  at("say").value = "";
  at("composer").hidden = true;
  const back = () => {
    at("command").hidden = true;
    at("composer").hidden = false;
    at("say").focus();
  };
  const data = (options) => ({ options: chosen.path === null ? options : [{ type: 1, name: chosen.path, options }] });
  ask(at("command"), chosen, {
    send: async (options) => {
      await interact(2, chosen.of, data(options));
      back();
    },
    complete: (option, text, given) =>
      new Promise((resolve) => {
        const others = given.filter((each) => each.name !== option.name);
        const focused = { type: option.type, name: option.name, value: text, focused: true };
        const nonce = String(++state.sent);
        state.pending.set(nonce, resolve);
        interact(4, chosen.of, data([...others, focused]), nonce);
      }),
    cancel: back,
  });
}

at("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const content = at("say").value.trim();
  if (!content) return;
  try {
    await state.client.ask("POST", `/channels/${state.channel.id}/messages`, { content });
    at("say").value = "";
    problem();
  } catch (error) {
    problem(error.message);
  }
});

// forms that an application shows -----------------------------------------------------------

function form(shown) {
  const fields = shown.components.flatMap((row) => row.components ?? [row.component]).filter(Boolean);
  const inputs = fields.map((field) => {
    const input = element("input", { id: `field-${field.custom_id}`, required: field.required, value: field.value });
    return { field, input, node: element("div", { class: "field" }, element("label", { for: input.id }, field.label ?? field.custom_id), input) };
  });
  const owner = state.commands[0]?.application_id;
  const inside = element(
    "form",
    { method: "dialog" },
    element("h2", { id: "modal-title" }, shown.title),
    ...inputs.map(({ node }) => node),
    element("div", { class: "buttons" }, element("button", {}, "Send"), element("button", { type: "button", onclick: () => at("modal").close() }, "Back")),
  );
  inside.addEventListener("submit", () => {
    const rows = inputs.map(({ field, input }) => ({ type: 1, components: [{ type: 4, custom_id: field.custom_id, value: input.value }] }));
    send(5, owner, { custom_id: shown.custom_id, components: rows });
  });
  at("modal").replaceChildren(inside);
  at("modal").showModal();
}

begin().catch((error) => problem(`This page needs the emulator's own side: ${error.message}`));
