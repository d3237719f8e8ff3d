/** Egress of a NetworkPolicy: anywhere but the address that hands out a cloud machine's credentials. */
export const outward = [
  {
    to: [
      { ipBlock: { cidr: "0.0.0.0/0", except: ["169.254.169.254/32"] } },
      { ipBlock: { cidr: "::/0", except: ["fd00:ec2::254/128"] } },
    ],
  },
] as const;
