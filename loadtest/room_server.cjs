// Node's Socket.IO with the same few features: `node room_server.cjs MODULES PORT [REDIS_URL]`.
const http = require("http");
const path = require("path");
const [, , modules, port, redisUrl] = process.argv;
const { Server } = require(path.join(modules, "socket.io"));

const server = http.createServer();
const io = new Server(server, { cors: { origin: "*" } });
const show = "show";
let seq = 0;
let timer = null;
let n = 0;

io.on("connection", (socket) => {
  const room = socket.handshake.auth.room || show;
  socket.join(room);
  socket.emit("welcome", { room });
  socket.on("danmaku", (data, ack) => {
    seq += 1;
    io.to(room).emit("danmaku", [{ ...data, seq }]);
    if (ack) ack({ ok: true, seq });
  });
  socket.on("like", (data, ack) => {
    if (ack) ack({ ok: true, accepted: data.count });
  });
});

function publish(query) {
  const event = query.get("event");
  const perSecond = Number(query.get("per_s"));
  const size = Number(query.get("size"));
  clearInterval(timer);
  if (!perSecond) return;
  timer = setInterval(() => {
    const payload = { n: n++, mark: `@${process.hrtime.bigint() / 1000n}@` };
    payload.text = "x".repeat(Math.max(0, size - JSON.stringify(payload).length));
    io.to(show).emit(event, payload);
  }, 1000 / perSecond);
}

server.on("request", (request, response) => {
  const url = new URL(request.url, "http://127.0.0.1");
  if (url.pathname !== "/publish") return;
  publish(url.searchParams);
  response.end();
});

async function join() {
  const { createClient } = require(path.join(modules, "redis"));
  const { createAdapter } = require(path.join(modules, "@socket.io/redis-adapter"));
  const publish = createClient({ url: redisUrl });
  const subscribe = publish.duplicate();
  await Promise.all([publish.connect(), subscribe.connect()]);
  io.adapter(createAdapter(publish, subscribe));
}

(redisUrl ? join() : Promise.resolve()).then(() => server.listen(Number(port), "127.0.0.1", 4096));
