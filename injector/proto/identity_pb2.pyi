from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class CertifyRequest(_message.Message):
    __slots__ = ("csr_der", "token", "trusted_sha256")
    CSR_DER_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_SHA256_FIELD_NUMBER: _ClassVar[int]
    csr_der: bytes
    token: str
    trusted_sha256: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, csr_der: _Optional[bytes] = ..., token: _Optional[str] = ..., trusted_sha256: _Optional[_Iterable[bytes]] = ...) -> None: ...

class CertifyResponse(_message.Message):
    __slots__ = ("chain_der", "not_before_unix_s", "not_after_unix_s", "spiffe_id")
    CHAIN_DER_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    SPIFFE_ID_FIELD_NUMBER: _ClassVar[int]
    chain_der: _containers.RepeatedScalarFieldContainer[bytes]
    not_before_unix_s: int
    not_after_unix_s: int
    spiffe_id: str
    def __init__(self, chain_der: _Optional[_Iterable[bytes]] = ..., not_before_unix_s: _Optional[int] = ..., not_after_unix_s: _Optional[int] = ..., spiffe_id: _Optional[str] = ...) -> None: ...
