// What is known: who one is, where one looks, what is there. Changed by events only; whoever draws subscribes.

import { Client } from "./api.js";

const KEPT = 500; // messages of a channel
const TOAST = 6000; // milliseconds
const DM = 1;

export class Store {
  constructor() {
    this.listeners = new Set();
    this.people = [];
    this.names = new Map();
    this.client = null;
    this.me = null;
    this.status = "Connecting …";
    this.guild = null;
    this.channels = [];
    this.channel = null;
    this.messages = [];
    this.heard = null; // messages that are newer than those we ask for: shown after them
    this.commands = [];
    this.applications = new Map();
    this.toasts = [];
    this.modal = null;
    this.pending = new Map();
    this.count = 0;
    this.hidden = new Set(); // private answers that were dismissed
    this.gone = new Set(); // deletions heard while a channel opens
    this.scheduled = false;
  }

  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  // At most once per frame, however much is heard.
  changed() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      for (const listener of this.listeners) listener();
    });
  }

  async begin() {
    const there = await (await fetch("/_control/people")).json();
    for (const user of there.people) this.names.set(user.id, user.name);
    this.people = there.people.filter((user) => !user.bot);
    this.enter(this.people[0].token);
  }

  enter(token) {
    this.client?.close();
    const client = (this.client = new Client(token));
    Object.assign(this, { me: null, guild: null, channels: [], channel: null, messages: [], modal: null });
    client.addEventListener("any", ({ detail }) => {
      if (client !== this.client) return;
      this.hear(detail.name, detail.body);
      this.changed();
    });
    client.connect();
    this.changed();
  }

  hear(name, body) {
    const hearing = {
      READY: () => {
        this.me = body.user;
        for (const channel of body.private_channels) this.list({ ...channel, name: channel.recipients?.[0]?.username ?? "somebody" });
        this.status = `Connected as ${body.user.username}`;
      },
      LOST: () => (this.status = "Connection lost; trying again …"),
      GUILD_CREATE: () => this.look(body),
      CHANNEL_CREATE: () => this.list(body),
      THREAD_CREATE: () => this.list(body),
      CHANNEL_DELETE: () => this.unlist(body),
      THREAD_DELETE: () => this.unlist(body),
      MESSAGE_CREATE: () => this.take(body),
      MESSAGE_UPDATE: () => this.take(body, { known: true }),
      MESSAGE_DELETE: () => this.drop(body.id),
      INTERACTION_FAILURE: () => this.toast("The application did not respond."),
      INTERACTION_MODAL_CREATE: () => (this.modal = body),
      APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE: () => {
        this.pending.get(body.nonce)?.(body.choices);
        this.pending.delete(body.nonce);
      },
    }[name];
    hearing?.();
  }

  look(guild) {
    for (const member of guild.members) this.names.set(member.user.id, member.user.username);
    if (this.guild !== null && this.guild.id !== guild.id) return;
    this.guild = guild;
    const direct = this.channels.filter((channel) => channel.type === DM);
    this.channels = [...guild.channels, ...guild.threads, ...direct];
    const before = this.channels.find((channel) => channel.id === this.channel?.id);
    this.open(before ?? guild.channels[0]);
  }

  list(channel) {
    if (!this.channels.some((each) => each.id === channel.id)) this.channels = [...this.channels, channel];
  }

  unlist(channel) {
    this.channels = this.channels.filter((each) => each.id !== channel.id);
    if (this.channel?.id === channel.id) this.open(this.channels[0]);
  }

  async open(channel) {
    this.channel = channel;
    this.messages = [];
    this.gone.clear();
    const heard = (this.heard = []);
    this.changed();
    try {
      const index = await this.client.ask("GET", `/guilds/${this.guild.id}/application-command-index`);
      const past = await this.client.ask("GET", `/channels/${channel.id}/messages?limit=50`);
      if (this.heard !== heard) return; // another one was opened meanwhile
      this.commands = index.application_commands;
      this.applications = new Map(index.applications.map((each) => [each.id, each]));
      this.heard = null;
      this.messages = past.reverse().filter((message) => !this.hidden.has(message.id) && !this.gone.has(message.id));
      for (const message of heard) this.take(message);
    } catch (error) {
      this.toast(error.message);
    }
    this.changed();
  }

  // An edit of what is not shown, because it is older, shows nothing.
  take(message, { known = false } = {}) {
    this.direct(message);
    if (message.channel_id !== this.channel?.id || this.hidden.has(message.id) || this.gone.has(message.id)) return;
    if (this.heard) {
      this.heard.push(message);
      return;
    }
    const at = this.messages.findIndex((each) => each.id === message.id);
    if (at >= 0) this.messages = this.messages.with(at, message);
    else if (!known) this.messages = [...this.messages, message].slice(-KEPT);
  }

  // A direct message is the first that one hears of its channel.
  direct(message) {
    if (message.guild_id || this.channels.some((each) => each.id === message.channel_id)) return;
    if (message.flags & 64) return;
    if (message.author.id === this.me?.id) return;
    this.list({ id: message.channel_id, type: DM, name: message.author.username });
  }

  hide(id) {
    this.hidden.add(id);
    this.drop(id);
    this.changed();
  }

  drop(id) {
    if (this.heard) this.gone.add(id);
    this.messages = this.messages.filter((message) => message.id !== id);
  }

  toast(words) {
    const one = { id: ++this.count, words };
    this.toasts = [...this.toasts, one];
    setTimeout(() => this.dismiss(one.id), TOAST);
    this.changed();
  }

  dismiss(id) {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
    this.changed();
  }

  nameOf(id) {
    return this.names.get(id) ?? id;
  }

  // A command, an option or a choice as this person's language calls it.
  called(thing) {
    return thing.name_localizations?.[this.me?.locale] ?? thing.name;
  }

  described(thing) {
    return thing.description_localizations?.[this.me?.locale] ?? thing.description ?? "";
  }

  // what one does ------------------------------------------------------------------------------

  async say(content) {
    try {
      await this.client.ask("POST", `/channels/${this.channel.id}/messages`, { content });
      return true;
    } catch (error) {
      this.toast(error.message);
      return false;
    }
  }

  async interact(type, application, data, more = {}, nonce = String(++this.count)) {
    const where = this.channel.type === DM ? {} : { guild_id: this.guild.id };
    const body = { type, application_id: application, channel_id: this.channel.id, session_id: "page", nonce, data, ...where, ...more };
    try {
      await this.client.ask("POST", "/interactions", body);
    } catch (error) {
      this.toast(error.message);
    }
  }

  // One's own, and what the owner of a server likes; others are refused by the server.
  mayDelete(message) {
    return message.author.id === this.me?.id || this.guild?.owner_id === this.me?.id;
  }

  async remove(message) {
    try {
      await this.client.ask("DELETE", `/channels/${message.channel_id}/messages/${message.id}`);
    } catch (error) {
      this.toast(error.message);
    }
  }

  press(message, data) {
    return this.interact(3, message.application_id ?? message.author.id, data, { message_id: message.id });
  }

  run(command, more, nonce) {
    const data = { id: command.id, name: command.name, type: command.type, ...more };
    return this.interact(2, command.application_id, data, {}, nonce);
  }

  complete(command, options) {
    const nonce = String(++this.count);
    const data = { id: command.id, name: command.name, type: command.type, options };
    return new Promise((resolve) => {
      this.pending.set(nonce, resolve);
      this.interact(4, command.application_id, data, {}, nonce);
    });
  }

  submit(modal, values) {
    const components = values.map(([custom_id, value]) => ({ type: 1, components: [{ type: 4, custom_id, value }] }));
    this.modal = null;
    this.changed();
    return this.interact(5, this.commands[0]?.application_id, { custom_id: modal.custom_id, components });
  }
}
