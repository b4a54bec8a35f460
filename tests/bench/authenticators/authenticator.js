// Lets everybody in who says "x": what an authenticator in JavaScript costs.

export const authenticator = {
  authenticate(connection, credentials) {
    if (credentials.tag !== "password") throw { tag: "unknown" };
    const { user, secret } = credentials.val;
    if (secret !== "x") throw { tag: "rejected" };
    return { user, maildrop: user, attributes: [] };
  },
};
