"""TensorBoard's events, written at once: no thread and no queue that a kill would empty or a full disk would block.

In an object store they are there a little later; see `GrowingFile`.
"""

import socket
import struct
import time
from typing import Any

import numpy as np
from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from gan_transfer import storage
from gan_transfer.growing_file import GrowingFile

NAME = 'events.out.tfevents'
FULL = 2**24  # bytes of a file in an object store, which is in memory and is written whole, again and again


class EventFile:
    """Events in files in `folder`; TensorBoard reads all of them, in the order of their names."""

    def __init__(self, folder: storage.Path, step: int):
        """Starts a file whose events are behind `step`; TensorBoard drops what older files have of such steps.

        Raises:
          OSError: where it cannot be written.
        """
        self._folder, self._step = folder, step
        self._start()
        # Also from step 0, where a run that had no checkpoint yet starts anew.
        self._write(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Adds the values of a step, all in one event."""
        values = [summary.scalar(name, value).value[0] for name, value in values.items()]
        self._write(step=step, summary=summary.Summary(value=values))

    def picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """Adds a picture, uint8 [h, w, 3]."""
        self._write(step=step, summary=summary.image(name, picture, dataformats='HWC'))

    def flush(self) -> None:
        """Brings everything to the disk."""
        self._records.flush()

    def close(self) -> None:
        self._records.close()

    def _start(self) -> None:
        storage.forget_listings(self._folder)
        with storage.reached(self._folder):
            starts = [path.name.split('.')[3] for path in self._folder.glob(f'{NAME}.*.*')]
        # Behind all that are there, also within one second and where a clock was set back.
        started = max([int(time.time()), *(int(start) + 1 for start in starts if start.isdecimal())])
        self.path = self._folder / f'{NAME}.{started}.{socket.gethostname()}.{self._step}'
        self._records = GrowingFile(self.path)
        self._write(file_version='brain.Event:2')

    def _write(self, **event: Any) -> None:
        record = Event(wall_time=time.time(), **event).SerializeToString()
        length = struct.pack('<Q', len(record))
        sums = [struct.pack('<I', masked_crc32c(part)) for part in (length, record)]
        self._records.write(length + sums[0] + record + sums[1])
        if self._records.held > FULL:
            self._records.close()
            self._start()
