/** The cluster's networks. Each cluster has them to itself: they exist in its network namespace only. */
export const nodeName = "node";
export const nodeAddress = "10.88.0.1";
/** The other end of the node's cable: nothing answers there. */
export const gatewayAddress = "10.88.0.2";
export const podRange = "10.244.0.0/16";
export const serviceRange = "10.96.0.0/16";
/** Where pods find the API. */
export const apiServiceAddress = "10.96.0.1";
export const apiPort = 6443;
