// node-etcd's calls, one after the other, on the server whose URL is the argument.
// Prints what each brought, one JSON text a line, without what no two runs share: time, and where
// the index began.
"use strict";

const Etcd = require("node-etcd");

const etcd = new Etcd(process.argv[2], { timeout: 20000 });
let base = null;

function plain(name, value) {
  if (/^(modifiedIndex|createdIndex|index)$/.test(name)) return value - base;
  if (name === "expiration") return typeof value;
  // The name of a key in a queue is an index too.
  return typeof value === "string" ? value.replace(/\d{20}/, (n) => `#${n - base}`) : value;
}

function wordsOf(method, words) {
  return [method, ...words.map((word) => (typeof word === "number" ? word - base : word))];
}

function told(name, error, body, headers) {
  const index = headers ? Number(headers["x-etcd-index"]) : null;
  if (base === null) base = index;
  const shown = error && { code: error.errorCode, message: error.message, error: error.error };
  const line = { name, error: shown || null, body, at: index === null ? null : index - base };
  console.log(JSON.stringify(line, plain));
}

function call(method, ...words) {
  return new Promise((resolve) => {
    etcd[method](...words, (error, body, headers) => {
      told(wordsOf(method, words), error, body, headers);
      resolve(body);
    });
  });
}

// What a watcher tells first after `act`, which begins once the watch is due to be there.
function watched(name, watcher, event, act) {
  return new Promise((resolve) => {
    watcher.once(event, (body, headers) => {
      watcher.stop();
      told(`${name}: ${event}`, null, body, headers);
      resolve(body);
    });
    act();
  });
}

async function values() {
  await call("get", "/nothing");
  await call("set", "/plain", "one");
  await call("set", "plain", "zwei drei & ü");
  await call("get", "plain");
  await call("get", "plain", { quorum: true });
  await call("compareAndSwap", "plain", "two", "zwei drei & ü");
  await call("compareAndSwap", "plain", "three", "not so");
  await call("set", "plain", "new", { prevExist: false });
  await call("set", "absent", "new", { prevExist: true });
  await call("compareAndDelete", "plain", "not so");
  await call("compareAndDelete", "plain", "two");
  await call("del", "plain");
}

async function directories() {
  await call("mkdir", "/folder");
  await call("mkdir", "/folder");
  await call("set", "/folder/b", "2");
  await call("set", "/folder/a/deep", "1");
  await call("get", "/folder", { recursive: true, sorted: true });
  await call("get", "/folder");
  await call("rmdir", "/folder");
  await call("del", "/folder/b", { dir: true });
  await call("rmdir", "/folder", { recursive: true });
  const queued = await call("create", "/queue", "first");
  await call("create", "/queue", "second");
  await call("get", queued.node.key);
  await call("get", "/queue", { sorted: true });
}

async function lives() {
  const short = await call("set", "/short", "x", { ttl: 1 });
  await call("watchIndex", "/short", short.node.modifiedIndex + 1);
  await call("get", "/short");
  await call("set", "/long", "x", { ttl: 100 });
  await call("set", "/long", "y", { ttl: "", prevExist: true });
}

async function watches() {
  const first = await call("set", "/seen", "1");
  await call("set", "/seen", "2");
  await call("watchIndex", "/seen", first.node.modifiedIndex + 1);
  const index = first.node.modifiedIndex + 2;
  const watch = etcd.watcher("/seen", index, { recursive: true });
  await watched("watcher", watch, "change", () => etcd.set("/seen", "3", () => {}));
  const next = etcd.watcher("/seen", index + 1);
  await watched("watcher", next, "delete", () => etcd.del("/seen", () => {}));
}

async function others() {
  await call("raw", "GET", "version", null, {});
  await call("raw", "GET", "health", null, {});
  await call("raw", "GET", "v2/nowhere", null, {});
  await call("machines");
}

async function main() {
  await call("set", "/begin", "x");
  for (const part of [values, directories, lives, watches, others]) await part();
}

main().then(
  () => console.log("end"),
  (error) => { console.error(error); process.exitCode = 1; },
);
