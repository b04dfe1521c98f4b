// One call of run_python_actions by a client of the TypeScript SDK.
//
//     node call.mjs 1|2 legacy|auto TARGET CODE
//
// The first argument is the SDK's major version, TARGET a URL or a command line as a JSON list. Prints one JSON object.

const [generation, mode, target, code] = process.argv.slice(2);

const sdk =
  generation === "1"
    ? {
        ...(await import("@modelcontextprotocol/sdk/client/index.js")),
        ...(await import("@modelcontextprotocol/sdk/client/stdio.js")),
        ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
      }
    : {
        ...(await import("@modelcontextprotocol/client")),
        ...(await import("@modelcontextprotocol/client/stdio")),
      };

function transport() {
  if (target.startsWith("http")) return new sdk.StreamableHTTPClientTransport(new URL(target));
  const [command, ...args] = JSON.parse(target);
  return new sdk.StdioClientTransport({ command, args, env: process.env, stderr: "ignore" });
}

const progress = [];
const client = new sdk.Client(
  { name: "a-typescript-client", version: generation },
  generation === "2" ? { versionNegotiation: { mode } } : {},
);
await client.connect(transport());
const { tools } = await client.listTools();
const request = { name: "run_python_actions", arguments: { code } };
const options = { onprogress: (report) => progress.push(report.message ?? null) };
const result = await (generation === "1"
  ? client.callTool(request, undefined, options)
  : client.callTool(request, options));
const resources = await client.listResources();
console.log(
  JSON.stringify({
    tools: tools.map((tool) => tool.name),
    server: client.getServerVersion()?.name,
    version: client.getNegotiatedProtocolVersion?.() ?? null,
    result,
    progress,
    resources: resources.resources.length,
  }),
);
await client.close();
