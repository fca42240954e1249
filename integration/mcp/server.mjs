// A server of MCP 2026-07-28: one tool that answers, one that asks back before it works.
import { McpServer, inputRequired, inputResponse } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

serveStdio(() => {
  const server = new McpServer({ name: 'modern', version: '1' });
  server.registerTool('greet', { description: 'greets' }, async () => ({ content: [{ type: 'text', text: 'hello <&> \u2028 é' }] }));
  server.registerTool('deploy', { description: 'asks where' }, async ctx => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'where');
    if (answer.kind === 'missing') {
      return inputRequired({
        inputRequests: {
          where: inputRequired.elicit({
            message: 'where to?',
            requestedSchema: { type: 'object', properties: { where: { type: 'string' } }, required: ['where'] },
          }),
        },
      });
    }
    return { content: [{ type: 'text', text: 'deployed to ' + answer.content.where }] };
  });
  return server;
});
