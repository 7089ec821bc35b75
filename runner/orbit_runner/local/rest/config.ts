// What the server is told: one line of JSON on its standard input, so that no secret stands in its arguments or environment.
// The input stays open for as long as somebody wants the server; where it ends, also by kill -9 of the other side, the server does.

export interface Config {
  dsn: string;
  /** Schemas that may be named in Accept-Profile and Content-Profile; `public` is meant where none is. */
  schemas: string[];
  /** Signs and checks HS256 tokens. */
  jwtSecret: string;
  /** API key → role. Nothing else is accepted as a key. */
  keys: Record<string, "anon" | "service_role">;
  /** 0: any free port. */
  port: number;
  /** Seconds for which an access token is good. */
  tokenSeconds: number;
  /** Where /rest/v1 is answered by another server (a PostgREST), its address. */
  dataApi: string | null;
}

const input = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).getReader();

export async function readConfig(): Promise<Config> {
  let line = "";
  while (!line.includes("\n")) {
    const { value, done } = await input.read();
    if (done) throw new Error("the input ended before the configuration came");
    line += value;
  }
  return JSON.parse(line.slice(0, line.indexOf("\n")));
}

export async function untilUnwanted(): Promise<void> {
  while (!(await input.read()).done);
}
