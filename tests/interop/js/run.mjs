// The programs under Node. Each reads {url, speech, cases} as JSON from standard input, plays the cases (play.mjs), and prints the
// list of their results as JSON.
import { text } from "node:stream/consumers";

import { playAll } from "./play.mjs";

export async function main(connect) {
  const { url, speech, cases } = JSON.parse(await text(process.stdin));
  const results = await playAll(connect(url, speech), cases);
  // Connections that are kept open would keep the process, too.
  process.stdout.write(JSON.stringify(results), () => process.exit());
}
