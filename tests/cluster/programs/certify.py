"""Asks for a certificate with each token in TOKENS (JSON: name -> file; no file: garbage), and prints what it was told.

With the packages of the image: gRPC, cryptography, the service's own messages.
"""

import json
import os
import pathlib

import grpc
from cryptography.hazmat.primitives.asymmetric import ec

from injector.proto import identity_pb2, identity_pb2_grpc
from injector.sidecar import certify

LIMIT_S = 15.0


def ask(stub: identity_pb2_grpc.IdentityStub, token: str) -> str:
    """Ask once; give the name that was signed, or the code of the refusal."""
    csr = certify.signing_request(ec.generate_private_key(ec.SECP256R1()))
    try:
        answer = stub.Certify(identity_pb2.CertifyRequest(csr_der=csr, token=token), timeout=LIMIT_S)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    return str(answer.spiffe_id)


trust = grpc.ssl_channel_credentials(pathlib.Path(os.environ["TRUST"]).read_bytes())
with grpc.secure_channel(os.environ["ADDRESS"], trust) as channel:
    service = identity_pb2_grpc.IdentityStub(channel)
    tokens = json.loads(os.environ["TOKENS"])
    read = {name: pathlib.Path(file).read_text().strip() if file else "garbage" for name, file in tokens.items()}
    print(json.dumps({name: ask(service, token) for name, token in read.items()}))
