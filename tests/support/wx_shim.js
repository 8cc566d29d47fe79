// A phone of sorts: enough of WeChat's `wx`, App, Page and Component to run the built mini-program in Node, over real
// sockets and real HTTP. Told what to do by JSON lines: {id, do, args} in, {id, result} or {id, error} out.
//
//   node wx_shim.js DIST SERVER NODE_MODULES LOGIN_CODE_PREFIX
"use strict";
const path = require("node:path");
const readline = require("node:readline");

const [dist, server, modules, who] = process.argv.slice(2);
const WebSocket = require(path.join(modules, "ws"));
const ORIGIN = "https://streamd.test"; // what it was built for; the phone's resolver sends it to the server
let online = true;
let logins = 0;
const sockets = new Set();
const phone = { mostSockets: 0, opened: 0, went: [], toasts: [], titles: [] };
const kept = new Map();
const listeners = new Set();
const tellNetwork = (isConnected) => listeners.forEach((handler) => handler({ isConnected, networkType: "4g" }));

const reach = (url) => url.replace(ORIGIN, server).replace(ORIGIN.replace("https", "wss"), server.replace("http", "ws"));

function connectSocket({ url, fail }) {
  const heard = { open: [], message: [], close: [], error: [] };
  const tell = (name, event) => heard[name].forEach((handler) => handler(event));
  const socket = online ? new WebSocket(reach(url)) : null;
  if (socket) {
    sockets.add(socket);
    phone.opened += 1;
    phone.mostSockets = Math.max(phone.mostSockets, sockets.size);
    socket.on("open", () => tell("open", {}));
    socket.on("message", (data) => online && tell("message", { data: data.toString() }));
    socket.on("error", (error) => tell("error", { errMsg: String(error) }));
    socket.on("close", (code) => { sockets.delete(socket); tell("close", { code }); });
  } else {
    setTimeout(() => fail?.({ errMsg: "connectSocket:fail" }), 5);
  }
  return {
    onOpen: (handler) => heard.open.push(handler),
    onMessage: (handler) => heard.message.push(handler),
    onClose: (handler) => heard.close.push(handler),
    onError: (handler) => heard.error.push(handler),
    send: ({ data, fail: failed }) => (socket?.readyState === 1 ? socket.send(data) : failed?.({ errMsg: "sendSocketMessage:fail" })),
    close: () => { sockets.delete(socket); socket?.close(); },
  };
}

async function request({ url, method = "GET", header = {}, data, success, fail }) {
  try {
    if (!online) throw new Error("offline");
    const answer = await fetch(reach(url), { method, headers: header, body: data });
    success({ statusCode: answer.status, data: await answer.text(), header: Object.fromEntries(answer.headers) });
  } catch (error) {
    fail?.({ errMsg: `request:fail ${error}` });
  }
}

globalThis.wx = {
  connectSocket,
  request: (asked) => void request(asked),
  login: ({ success }) => success({ code: `${who}:${++logins}` }),
  getStorageSync: (key) => kept.get(key) ?? "",
  setStorageSync: (key, value) => kept.set(key, value),
  removeStorageSync: (key) => kept.delete(key),
  getAppBaseInfo: () => ({ language: "en" }),
  getWindowInfo: () => ({ statusBarHeight: 44, windowWidth: 375 }),
  onNetworkStatusChange: (handler) => listeners.add(handler),
  offNetworkStatusChange: (handler) => listeners.delete(handler),
  setNavigationBarTitle: ({ title }) => phone.titles.push(title),
  setKeepScreenOn: () => {},
  showToast: ({ title }) => phone.toasts.push(title),
  stopPullDownRefresh: () => {},
  navigateTo: ({ url }) => phone.went.push(url),
  redirectTo: ({ url }) => phone.went.push(url),
  reLaunch: ({ url }) => phone.went.push(url),
  navigateBack: () => phone.went.push("back"),
  vibrateShort: () => {},
  setClipboardData: () => {},
};

let app = null;
let declared = null;
globalThis.App = (options) => { app = options; };
globalThis.Page = (options) => { declared = options; };
globalThis.Component = () => {};

const pages = new Map();

function openPage(name, query) {
  const file = require.resolve(path.join(dist, `${name}.js`));
  delete require.cache[file]; // as Page() is called once for each page here
  require(file);
  const { data, ...rest } = declared;
  const page = { ...rest, data: structuredClone(data), painted: [] };
  page.setData = (patch) => { page.painted.push({ atMs: Date.now(), keys: Object.keys(patch) }); Object.assign(page.data, patch); };
  pages.get(name)?.onUnload?.();
  pages.set(name, page);
  page.onLoad?.(query);
  page.onShow?.();
}

const deeds = {
  open: openPage,
  call: async (name, method, event) => { await pages.get(name)[method](event); },
  data: (name) => pages.get(name).data,
  painted: (name) => pages.get(name).painted,
  phone: () => ({ ...phone, sockets: sockets.size }),
  background: () => app.onHide(),
  foreground: () => app.onShow(),
  start: (name, method, event) => { void pages.get(name)[method](event); },
  // The network goes: nothing arrives any more, the phone says so, and its sockets end after a while.
  cut: () => { online = false; tellNetwork(false); setTimeout(() => sockets.forEach((socket) => socket.terminate()), 300); },
  mend: () => { online = true; tellNetwork(true); },
  // From one network to another: the phone says so, its sockets do not.
  roam: () => tellNetwork(true),
};

require(path.join(dist, "app.js"));
app.onLaunch();
app.onShow();
readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const { id, do: deed, args } = JSON.parse(line);
  const answer = await Promise.resolve().then(() => deeds[deed](...args)).then(
    (result) => ({ id, result: result ?? null }),
    (error) => ({ id, error: String(error?.stack ?? error) }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}).on("close", () => process.exit(0));
