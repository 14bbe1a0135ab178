// A message as an article: text, embeds, files that play, buttons. Nothing from outside becomes HTML.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const TOKENS = /<(https?:\/\/[^\s>]+)>|(https?:\/\/[^\s<>]+)|<@!?(\d+)>|\*\*([^*]+)\*\*/g;

// Links, mentions and bold; all else is text.
function formatted(text, nameOf) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(TOKENS)) {
    found.push(text.slice(end, match.index));
    const link = match[1] ?? match[2];
    if (link) found.push(element("a", { href: link, rel: "noreferrer", target: "_blank" }, link));
    else if (match[3]) found.push(element("strong", {}, `@${nameOf(match[3])}`));
    else found.push(element("strong", {}, match[4]));
    end = match.index + match[0].length;
  }
  found.push(text.slice(end));
  return found;
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

// An attachment's address is the one by which a cluster finds it; here the page is at the same server.
const here = (address) => new URL(address).pathname;

function file(attachment) {
  const kind = (attachment.content_type ?? "").split("/")[0];
  const name = attachment.description ?? attachment.filename;
  const caption = element(
    "figcaption",
    {},
    element("a", { href: here(attachment.url), download: attachment.filename }, attachment.filename),
    ` ${size(attachment.size)}`,
  );
  const shown = {
    video: () => element("video", { controls: true, preload: "metadata", src: here(attachment.url), "aria-label": name }),
    audio: () => element("audio", { controls: true, preload: "metadata", src: here(attachment.url), "aria-label": name }),
    image: () => element("img", { src: here(attachment.url), alt: name }),
  }[kind];
  return element("figure", { "data-id": attachment.id }, shown ? shown() : null, caption);
}

function embed(of) {
  const picture = of.thumbnail?.url ?? of.image?.url;
  return element(
    "div",
    { class: "embed" },
    of.title ? element("strong", {}, of.title) : null,
    of.description ? element("p", {}, of.description) : null,
    ...(of.fields ?? []).map((field) => element("p", {}, `${field.name}: ${field.value}`)),
    picture ? element("img", { src: picture, alt: "" }) : null,
    of.footer ? element("p", { class: "quiet" }, of.footer.text) : null,
  );
}

function component(of, press) {
  if (of.type === 2 && of.url) return element("a", { href: of.url, rel: "noreferrer" }, of.label ?? of.url);
  if (of.type === 2) {
    const words = [of.emoji?.name, of.label].filter(Boolean).join(" ");
    const label = of.label ? undefined : of.custom_id;
    return element(
      "button",
      { type: "button", disabled: of.disabled, "aria-label": label, onclick: () => press({ component_type: 2, custom_id: of.custom_id }) },
      words || "Button",
    );
  }
  if (of.type === 3) {
    const chosen = element(
      "select",
      { multiple: of.max_values > 1, "aria-label": of.placeholder ?? "Choose" },
      ...of.options.map((option) => element("option", { value: option.value, selected: option.default }, option.label)),
    );
    const send = () =>
      press({ component_type: 3, custom_id: of.custom_id, values: [...chosen.selectedOptions].map((o) => o.value) });
    return element("span", {}, chosen, element("button", { type: "button", onclick: send, disabled: of.disabled }, "Choose"));
  }
  return null;
}

// What stays when a message is drawn anew: a video that plays goes on playing.
function keepPlayers(before, after) {
  for (const kept of before?.querySelectorAll("figure") ?? []) {
    after.querySelector(`figure[data-id="${kept.dataset.id}"]`)?.replaceWith(kept);
  }
}

export function draw(message, before, { nameOf, press, apps, dismiss }) {
  const onlyYou = Boolean(message.flags & 64);
  const thinking = Boolean(message.flags & 128);
  const made = element(
    "article",
    { id: `m${message.id}`, class: onlyYou ? "only-you" : undefined },
    element(
      "header",
      {},
      element("h3", {}, message.author.global_name ?? message.author.username),
      message.author.bot ? element("span", { class: "quiet" }, "APP") : null,
      element("time", { datetime: message.timestamp }, new Date(message.timestamp).toLocaleTimeString()),
      message.edited_timestamp ? element("span", { class: "quiet" }, "(edited)") : null,
    ),
    message.referenced_message ? element("p", { class: "quiet" }, `in reply to ${message.referenced_message.content.slice(0, 80)}`) : null,
    thinking ? element("p", { class: "quiet" }, "is thinking …") : element("p", {}, ...formatted(message.content, nameOf)),
    ...message.embeds.map(embed),
    ...message.attachments.map(file),
    ...message.components.map((row) =>
      element("div", { class: "buttons" }, ...(row.components ?? []).map((each) => component(each, press))),
    ),
    message.thread ? element("p", { class: "quiet" }, `Thread: ${message.thread.name}`) : null,
    onlyYou
      ? element("p", { class: "quiet" }, "Only you can see this. ", element("button", { type: "button", onclick: dismiss }, "Dismiss"))
      : apps.length
        ? element(
            "details",
            { class: "apps" },
            element("summary", {}, "Apps"),
            ...apps.map((app) => element("button", { type: "button", onclick: app.run }, app.name)),
          )
        : null,
  );
  made.addEventListener("contextmenu", (event) => {
    const menu = made.querySelector("details.apps");
    if (!menu) return;
    event.preventDefault();
    menu.open = true;
    menu.querySelector("button").focus();
  });
  keepPlayers(before, made);
  return made;
}
