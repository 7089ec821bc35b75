// Signs in with supabase-js and makes the calls it is told to; prints what the library answered to each.
import { createClient } from "@supabase/supabase-js";

const { url, key, email, password, calls } = JSON.parse(await new Response(Deno.stdin.readable).text());
const supabase = createClient(url, key, { db: { schema: "orbit" }, auth: { persistSession: false, autoRefreshToken: false } });
const signedIn = await supabase.auth.signInWithPassword({ email, password });
if (signedIn.error) throw signedIn.error;
const refreshed = await supabase.auth.refreshSession();
if (refreshed.error) throw refreshed.error;
const user = await supabase.auth.getUser();
const answers = [];
for (const [name, request] of calls) {
  const { data, error, status } = await supabase.rpc(name, { p_request: request });
  answers.push({ data, status, error: error && { code: error.code, message: error.message, details: error.details, hint: error.hint } });
}
console.log(JSON.stringify({ user: user.data.user?.email, answers }));
Deno.exit(0);
