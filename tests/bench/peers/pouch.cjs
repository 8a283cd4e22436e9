// pouch.cjs ROWS FOLDER REPETITIONS - PouchDB over plain HTTP on loopback: the first replication of all rows (a file with one JSON object a line) to an
// empty client. The server is a process of its own. Prints {"seconds": [...]}. Run in the folder that has node_modules.
const { createRequire } = require("module"), { fork } = require("child_process"), fs = require("fs"), path = require("path");
const load = createRequire(process.cwd() + "/");
const BATCH = 1000; // documents a request; of the sizes tried the fastest

function serve(folder) {
  fs.mkdirSync(folder);
  const PouchDB = load("pouchdb").defaults({ prefix: folder + "/" });
  const express = createRequire(load.resolve("express-pouchdb"))("express");
  const files = { configPath: folder + "/config.json", logPath: folder + "/log.txt", inMemoryConfig: true };
  const app = express().use("/", load("express-pouchdb")(PouchDB, { mode: "minimumForPouchDB", ...files }));
  const server = app.listen(0, "127.0.0.1", () => process.send(server.address().port));
  process.on("disconnect", () => process.exit(0));
}

async function measure(rows, folder, repetitions) {
  const server = fork(__filename, ["serve", path.join(folder, "server")], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const port = await new Promise((done) => server.once("message", done));
  const PouchDB = load("pouchdb"), remote = new PouchDB(`http://127.0.0.1:${port}/contact`);
  for (let i = 0; i < rows.length; i += BATCH) await remote.bulkDocs(rows.slice(i, i + BATCH));
  const seconds = [];
  for (let i = 0; i < repetitions; i++) {
    const client = new PouchDB(path.join(folder, "client" + i));
    const began = performance.now();
    await PouchDB.replicate(remote, client, { batch_size: BATCH });
    seconds.push((performance.now() - began) / 1000);
    if ((await client.info()).doc_count !== rows.length) throw new Error("the client holds another number of rows");
    await client.destroy();
  }
  server.disconnect();
  console.log(JSON.stringify({ seconds }));
}

if (process.argv[2] === "serve") {
  serve(process.argv[3]);
} else {
  const [file, folder, repetitions] = process.argv.slice(2);
  const rows = fs.readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
  measure(rows, folder, +repetitions).then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
}
