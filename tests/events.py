"""Reads TensorBoard's files as TensorBoard does."""

import struct

from tensorboardX.proto.event_pb2 import Event, SessionLog


def shown(workdir):
    """What is shown of a run: step -> name -> value, or a picture's bytes."""
    steps = {}
    for path in sorted((workdir / 'tensorboard').iterdir()):
        data = path.read_bytes()
        while len(data) > 8:
            (length,) = struct.unpack('Q', data[:8])
            if len(data) < 16 + length:
                break  # cut short by a kill
            event, data = Event.FromString(data[12 : 12 + length]), data[16 + length :]
            if event.session_log.status == SessionLog.START:
                steps = {step: values for step, values in steps.items() if step < event.step}
            for value in event.summary.value:
                content = value.image.encoded_image_string or value.simple_value
                steps.setdefault(event.step, {})[value.tag] = content
    return steps
