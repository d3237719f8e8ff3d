/**
 * The bundled stand-in for Pulumi's `command` plugin: `pulumi-resource-command [flags] [engine address]`.
 * It really runs local and SSH commands, with the semantics of version 1.2.1, in development and in tests.
 */
import { EngineLog } from "../protocol/log.ts";
import { engineAddress, serve } from "../protocol/serve.ts";
import { killAll } from "./local.ts";
import { commandService } from "./service.ts";

serve("pulumi-resource-command", commandService(new EngineLog(engineAddress())), killAll);
