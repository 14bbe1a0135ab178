// What Discord's own client asks for: REST with a user's token, and one gateway connection.

const REST = "/api/v10";

export class Client extends EventTarget {
  constructor(token) {
    super();
    this.token = token;
    this.closed = false;
  }

  async ask(method, path, body) {
    const answer = await fetch(REST + path, {
      method,
      headers: { Authorization: this.token, "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    const said = text ? JSON.parse(text) : null;
    if (!answer.ok) throw new Error(said?.message ?? `${answer.status}`);
    return said;
  }

  // Connects, and again whenever the connection ends; every event is dispatched by its name.
  connect() {
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/gateway`);
    this.socket = socket;
    socket.onmessage = (message) => {
      const frame = JSON.parse(message.data);
      if (frame.op === 10) socket.send(JSON.stringify({ op: 2, d: { token: this.token } }));
      if (frame.op === 0) this.tell(frame.t, frame.d);
    };
    socket.onclose = () => {
      if (this.closed) return; // somebody else looks now: nothing was lost
      this.tell("LOST", {});
      setTimeout(() => this.closed || this.connect(), 1000);
    };
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent("any", { detail: { name, body: detail } }));
  }

  close() {
    this.closed = true;
    this.socket?.close();
  }
}
