// Drives a server through a command: node client.mjs ERA COMMAND ARGS…, steps as JSON on standard input. Prints one line of
// JSON per step: the result, or the error.
import { readFileSync } from 'node:fs';

const [era, command, ...args] = process.argv.slice(2);
const steps = JSON.parse(readFileSync(0, 'utf8'));
const modern = await import('@modelcontextprotocol/client');
const old = era === 'v1' ? await import('@modelcontextprotocol/sdk/client/index.js') : null;
const { StdioClientTransport } = era === 'v1'
  ? await import('@modelcontextprotocol/sdk/client/stdio.js')
  : await import('@modelcontextprotocol/client/stdio');
const Client = old ? old.Client : modern.Client;

const options = { capabilities: era === 'modern' ? { elicitation: { form: {} } } : {} };
if (era === 'modern') options.versionNegotiation = { mode: { pin: '2026-07-28' } };
const client = new Client({ name: 'test', version: '1' }, options);
if (era === 'modern') {
  client.setRequestHandler('elicitation/create', async () => ({ action: 'accept', content: { where: 'staging' } }));
}
await client.connect(new StdioClientTransport({ command, args, env: process.env, stderr: 'inherit' }));

for (const step of steps) {
  let said;
  try {
    switch (step.do) {
      case 'list': said = await client.listTools(); break;
      case 'call': said = await client.callTool({ name: step.name, arguments: step.arguments ?? {} }, ...(step.progress ? progress(era) : [])); break;
      case 'read': said = await client.readResource({ uri: step.uri }); break;
      case 'parallel': said = await Promise.all(step.calls.map(c => client.callTool(c))); break;
      default: throw new Error('unknown step');
    }
  } catch (e) {
    said = { thrown: String(e.message), code: e.code };
  }
  console.log(JSON.stringify(said));
}
await client.close();

function progress(era) {
  const o = { onprogress: () => {} };
  return era === 'v1' ? [undefined, o] : [o];
}
