"""Where frames come from: a camera, a folder, a video, or another program.

All but a folder arrive as a stream of PPM pictures (P6, 8 bits), each of which says how
large it is. ffmpeg makes one of every video and of every camera that Linux knows; the
Raspberry Pi's camera is asked by the package picamera2.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import importlib
import os
import pathlib
import stat
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from r2b_runtime.board import pictures
from r2b_runtime.board.errors import InputError, one_line
from r2b_runtime.board.terminal import tell

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

CAMERA, STANDARD_INPUT = "camera", "-"
# Pixels of the frames that the Raspberry Pi's camera is asked for.
CAMERA_SIZE = (640, 480)
# How often a folder is looked at.
POLL_SECONDS = 0.25
# No camera gives more: a header that says so is damaged.
_LARGEST_SIDE = 1 << 15
# Bytes that are read at once: two frames of a small camera.
_PIECE = 1 << 21
# A camera that gives no frame for so long will give none.
STALL_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Frame:
    """A picture to be named.

    Attributes:
      name: its file, or empty for one of a stream.
      image: `[h, w, 1 or 3]` uint8.
      decode_seconds: what reading and decoding its file took.
    """

    name: str
    image: np.ndarray
    decode_seconds: float = 0.0


if TYPE_CHECKING:
    Frames = Generator[Frame, None, None]


def frames(source: str, channels: int, upright: bool) -> Frames:
    """The frames of a source, as they come.

    Args:
      source: "camera", "-" for standard input, a folder, a video or a device such as
        /dev/video0.
      channels: of the network, for pictures in a folder.
      upright: turn pictures in a folder as their EXIF orientation says.

    Raises:
      InputError: there is no such source, or it ends in the middle of a frame.
    """
    if source == CAMERA:
        return _of_camera()
    if source == STANDARD_INPUT:
        return of_stream(sys.stdin.buffer, "Standard input")
    path = pathlib.Path(source)
    try:
        kind = path.stat().st_mode
    except OSError as error:
        raise InputError(
            f"{source} cannot be read ({error.strerror}): expected a folder, a video, "
            "a device such as /dev/video0, - for standard input, or camera."
        ) from error
    if stat.S_ISDIR(kind):
        return _of_folder(path, channels, upright)
    if path.suffix.lower() in pictures.SUFFIXES:
        raise InputError(
            f"{source} is one picture, expected a folder of them, a video or a camera: "
            "`python -m r2b_runtime classify` names single pictures."
        )
    return _of_ffmpeg(source, stat.S_ISCHR(kind))


def of_stream(stream: IO[bytes], name: str) -> Frames:
    """The frames of a stream of PPM pictures.

    Args:
      stream: binary, read to its end.
      name: what to call it in messages.

    Raises:
      InputError: it holds something else, or ends in the middle of a frame.
    """
    while True:
        header = _header(stream, name)
        if header is None:
            return
        width, height = header
        try:
            content = _read(stream, 3 * width * height)
        except MemoryError as error:
            raise InputError(
                f"{name} holds a frame of {width}x{height} pixels, too many for this "
                "machine's memory: scale it before it is sent."
            ) from error
        if len(content) < 3 * width * height:
            raise InputError(f"{name} ends in the middle of a frame: send whole ones.")
        image = np.frombuffer(content, np.uint8).reshape(height, width, 3)
        yield Frame("", image)


def _read(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, or fewer at the end; no more memory than for what has come."""
    found = bytearray()
    while len(found) < size:
        piece = stream.read(min(size - len(found), _PIECE))
        if not piece:
            break
        found += piece
    return bytes(found)


def _header(stream: IO[bytes], name: str) -> tuple[int, int] | None:
    """Width and height of the next picture, None at the end of the stream."""
    words: list[bytes] = []
    while len(words) < 4:
        word = _word(stream)
        if not word and not words:
            return None
        words.append(word)
        # Whatever else it is: its first bytes tell.
        if words[0] != b"P6" or not word:
            break
    known = words[0] == b"P6" and all(map(bytes.isdigit, words[1:]))
    if not known or int(words[3]) != 255:
        raise InputError(
            f"{name} holds {b' '.join(words)[:40]!r} where a frame was to begin, "
            "expected PPM pictures of 8 bits (P6), as "
            "`ffmpeg -i FILE -fps_mode vfr -f image2pipe -c:v ppm -pix_fmt rgb24 -` "
            "writes them."
        )
    width, height = int(words[1]), int(words[2])
    if min(width, height) < 1 or max(width, height) > _LARGEST_SIDE:
        raise InputError(
            f"{name} holds a frame of {width}x{height} pixels, expected sides from 1 "
            f"to {_LARGEST_SIDE}: scale it before it is sent."
        )
    return width, height


def _word(stream: IO[bytes]) -> bytes:
    """The next word, and the one character behind it; not longer than 20 bytes."""
    word = b""
    while len(word) < 20:
        byte = stream.read(1)
        if byte == b"#" and not word:
            stream.readline(1000)  # a comment
        elif byte and not byte.isspace():
            word += byte
        elif word or not byte:
            break
    return word


def _of_ffmpeg(source: str, is_camera: bool) -> Frames:
    """The frames of a video, each of them, or the newest ones of a camera, by ffmpeg.

    Without `-fps_mode vfr` ffmpeg would fill every pause with copies of a frame.
    """
    # A name with a colon in it would be a protocol's.
    given = ["-f", "v4l2", "-i", source] if is_camera else ["-i", f"file:{source}"]
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *given]
    command += ["-fps_mode", "vfr", "-f", "image2pipe", "-c:v", "ppm"]
    command += ["-pix_fmt", "rgb24", "-"]  # of films and cameras of 10 bits too
    code = 0
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise InputError(
            f"{source} is no folder, and ffmpeg, which reads videos and cameras, "
            f"does not start here ({error.strerror}): run "
            "`sudo apt install ffmpeg`, or name a folder."
        ) from error
    # A camera may complain for months: only the last lines are kept.
    said: collections.deque[bytes] = collections.deque(maxlen=20)
    listener = threading.Thread(target=said.extend, args=[process.stderr], daemon=True)
    listener.start()
    # It is ended when nobody wants more frames.
    with process, contextlib.ExitStack() as stack:
        stack.callback(listener.join)
        stream: Iterable[Frame]
        stream = of_stream(cast("IO[bytes]", process.stdout), source)
        if is_camera:
            stream = stack.enter_context(_newest(stream, source))
        stack.callback(process.kill)
        try:
            yield from stream
            code = process.wait()
        except InputError:
            # Where ffmpeg has ended as well, it says better why.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=1)
            if not code:
                raise
    if code:
        lines = [line.decode(errors="replace").strip() for line in said]
        reason = next(filter(None, reversed(lines)), f"exit code {code}")
        raise InputError(
            f"ffmpeg cannot read {source} ({reason.rstrip('.')}): expected a video or "
            "a camera, and ffmpeg 5.1 or newer."
        )


@contextlib.contextmanager
def _newest(frames: Frames, name: str) -> Iterator[Iterable[Frame]]:
    """Takes frames as they come, and gives the newest: a camera does not wait.

    Otherwise those that nobody had time for would queue up on their way, and what is
    named would be seconds old. Whatever feeds `frames` has to end before this does.

    Args:
      frames: a camera's.
      name: the camera's, for the message where it stops without an end.
    """
    arrived = threading.Condition()
    held: list[Frame] = []
    problems: list[Exception] = []
    is_over = threading.Event()

    def collect() -> None:
        try:
            for frame in frames:
                with arrived:
                    held[:] = [frame]
                    arrived.notify()
        except Exception as error:  # whoever takes the frames is to have it
            problems.append(error)
        with arrived:
            is_over.set()
            arrived.notify()

    def take() -> Iterator[Frame]:
        while True:
            with arrived:
                in_time = arrived.wait_for(
                    lambda: held or is_over.is_set(), STALL_SECONDS
                )
                if not in_time:
                    raise InputError(
                        f"{name} has given no frame for {STALL_SECONDS:g} seconds: see "
                        "whether it is still connected."
                    )
                found = held.pop() if held else None
            if found is None:
                break
            yield found
        if problems:
            raise problems[0]

    collector = threading.Thread(target=collect, daemon=True)
    collector.start()
    try:
        yield take()
    finally:
        collector.join()


def _of_camera() -> Frames:
    """Frames of the Raspberry Pi's camera."""
    try:
        # By name: there is no such package anywhere else.
        module = importlib.import_module("picamera2")
    except ImportError as error:
        raise InputError(
            "The package picamera2, which asks the Raspberry Pi's camera, does not "
            f"start here ({one_line(error)}): run `sudo apt install python3-picamera2` "
            "and make the virtual environment with --system-site-packages, or name "
            "another source, such as /dev/video0."
        ) from error
    except ValueError as error:
        # So ends what was built for NumPy 1, as Bookworm's camera package, in another.
        raise InputError(
            f"The package picamera2 does not start with NumPy {np.__version__} "
            f'({one_line(error)}): run `pip install "numpy<2"` in this environment.'
        ) from error
    try:
        camera = module.Picamera2()
        # picamera2 names formats by their order in a word: this one is R, G, B.
        wanted = {"size": CAMERA_SIZE, "format": "BGR888"}
        camera.configure(camera.create_video_configuration(main=wanted))
        camera.start()
    except (RuntimeError, IndexError) as error:
        raise InputError(
            f"The camera does not start ({one_line(error)}): see whether another "
            "program has it, and whether `rpicam-hello --list-cameras` finds it."
        ) from error
    return _captured(camera)


def _captured(camera: Any) -> Frames:
    with contextlib.closing(camera):
        while True:
            yield Frame("", camera.capture_array("main"))


def _of_folder(folder: pathlib.Path, channels: int, upright: bool) -> Frames:
    """The pictures of a folder, the oldest first, then whatever comes into it.

    A picture's turn is when it has been the same at two looks: one that is still being
    written is not. One that cannot be read gets a sentence on standard error.
    """
    seen: dict[str, tuple[int, int]] = {}
    done: dict[str, tuple[int, int]] = {}
    while True:
        found = _pictures_in(folder)
        for name, state in sorted(found.items(), key=lambda item: item[1]):
            if seen.get(name) == state != done.get(name):
                done[name] = state
                start = time.perf_counter()
                try:
                    image = pictures.read(folder / name, channels, upright)
                except InputError as error:
                    tell(str(error))
                    continue
                seconds = time.perf_counter() - start
                yield Frame(os.fspath(folder / name), image, seconds)
        seen = found
        # A watch may last for months: what was taken away is forgotten.
        done = {name: state for name, state in done.items() if name in found}
        time.sleep(POLL_SECONDS)


def _pictures_in(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Pictures by name: when they were changed last, and how large they are."""
    found = {}
    try:
        paths = list(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{folder} cannot be read ({error.strerror}): mend that, or name another "
            "source."
        ) from error
    for path in paths:
        if path.suffix.lower() in pictures.SUFFIXES and not path.name.startswith("."):
            try:
                state = path.stat()
            except FileNotFoundError:  # taken away meanwhile
                continue
            except OSError:  # reading it will tell what it is
                found[path.name] = (0, 0)
                continue
            if not stat.S_ISFIFO(state.st_mode):  # which would be waited for
                found[path.name] = (state.st_mtime_ns, state.st_size)
    return found
