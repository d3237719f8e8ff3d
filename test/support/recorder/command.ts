/**
 * `pulumi-resource-command` of a recorded world: the bundled one, in staging and production too. Whoever starts it has
 * put its folder on PATH; nothing in the product does.
 */
import { killAll } from "../../../engine/plugins/command/local.ts";
import { commandService } from "../../../engine/plugins/command/service.ts";
import { EngineLog } from "../../../engine/plugins/protocol/log.ts";
import { engineAddress, serve } from "../../../engine/plugins/protocol/serve.ts";

serve("pulumi-resource-command", commandService(new EngineLog(engineAddress()), []), killAll);
