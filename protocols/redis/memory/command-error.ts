/** An error reply: thrown by a command before it has written anything. The message starts with its code. */
export class CommandError extends Error {
  static wrongType(): CommandError {
    return new CommandError('WRONGTYPE Operation against a key holding the wrong kind of value');
  }

  static syntax(): CommandError {
    return new CommandError('ERR syntax error');
  }

  static notInteger(): CommandError {
    return new CommandError('ERR value is not an integer or out of range');
  }

  static notPositive(): CommandError {
    return new CommandError('ERR value is out of range, must be positive');
  }
}
