from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FollowRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Told(_message.Message):
    __slots__ = ("leaves", "whole")
    LEAVES_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    leaves: _containers.RepeatedCompositeFieldContainer[Leaf]
    whole: bool
    def __init__(self, leaves: _Optional[_Iterable[_Union[Leaf, _Mapping]]] = ..., whole: _Optional[bool] = ...) -> None: ...

class Leaf(_message.Message):
    __slots__ = ("pod_uid", "anchor_sha256", "not_before_unix_s", "not_after_unix_s", "told_trust", "trusted_sha256")
    POD_UID_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_SHA256_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_UNIX_S_FIELD_NUMBER: _ClassVar[int]
    TOLD_TRUST_FIELD_NUMBER: _ClassVar[int]
    TRUSTED_SHA256_FIELD_NUMBER: _ClassVar[int]
    pod_uid: str
    anchor_sha256: bytes
    not_before_unix_s: int
    not_after_unix_s: int
    told_trust: bool
    trusted_sha256: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, pod_uid: _Optional[str] = ..., anchor_sha256: _Optional[bytes] = ..., not_before_unix_s: _Optional[int] = ..., not_after_unix_s: _Optional[int] = ..., told_trust: _Optional[bool] = ..., trusted_sha256: _Optional[_Iterable[bytes]] = ...) -> None: ...
