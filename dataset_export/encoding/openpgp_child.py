"""The process that encrypts one file: plain bytes on its standard input, the OpenPGP message on its standard output.

`openpgp` starts it as a script, without site packages, so that it costs some milliseconds and 23 MiB. Its argument is the
folder in which `pysequoia` lies. The input begins with the public keys, after their length in 8 bytes.
"""

import os
import sys


def main() -> int:
    """Encrypt the input. Returns the exit code; 0 only when a whole message was written."""
    sys.path.append(sys.argv[1])
    from pysequoia import Cert, encrypt_file

    keyring = _read(int.from_bytes(_read(8), "big"))
    try:
        encrypt_file("/dev/stdin", "/dev/stdout", Cert.split_bytes(keyring), armor=False)
    except RuntimeError as error:
        sys.stderr.write(str(error).partition("\n")[0])
        return 1
    return 0


def _read(size: int) -> bytes:
    """Exactly so many bytes: what follows them is for the library, so nothing may be read ahead."""
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            raise EOFError("the public keys are not whole")
        data += piece
    return data


if __name__ == "__main__":
    sys.exit(main())
