"""One WebSocket message is one Satchel message, as it is or as one zstd frame."""
import zstandard

from .codes import Failure

FRAME_BYTES, MESSAGE_BYTES = 2 << 20, 4 << 20
MAGIC = bytes.fromhex("28b52ffd")


def pack(message):
    if len(message) <= 256:
        return message
    packed = zstandard.ZstdCompressor(write_content_size=True).compress(message)
    return min(packed, message, key=len)


def unpack(frame):
    if len(frame) > FRAME_BYTES:
        raise Failure("E_LIMIT", "a frame is too long")
    if not frame:
        raise Failure("E_MALFORMED", "an empty frame")
    if not frame.startswith(MAGIC):
        return frame
    try:
        size = zstandard.get_frame_parameters(frame)
        if size.dict_id or size.content_size in (0, zstandard.CONTENTSIZE_UNKNOWN):
            raise Failure("E_MALFORMED", "a zstd frame that does not state its size, or wants a dictionary")
        if size.content_size > MESSAGE_BYTES:
            raise Failure("E_LIMIT", "a message is too long")
        inflate = zstandard.ZstdDecompressor().decompressobj()
        message = inflate.decompress(frame)
    except zstandard.ZstdError as e:
        raise Failure("E_MALFORMED", str(e)) from None
    if len(message) != size.content_size or inflate.unused_data:
        raise Failure("E_MALFORMED", "a zstd frame that holds more or less than it says")
    return message
