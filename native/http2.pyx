"""The HTTP/2 connection of a gRPC server: bytes in, calls with their messages; answers in, bytes out.

libnghttp2 reads and writes the frames, the headers and the windows (RFC 9113, RFC 7541); here is what gRPC puts into
them: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.  No socket, no clock and no task is known here.
A connection is used by one thread.
"""

from base64 import b64decode
from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from ringup.native.nghttp2 cimport (
    BODY_EOF,
    BODY_NO_END_STREAM,
    ERROR_CALLBACK_FAILURE,
    ERROR_DEFERRED,
    FIELD_NO_COPY,
    FLAG_END_STREAM,
    FRAME_HEADERS,
    RESET_NO_ERROR,
    SETTING_INITIAL_WINDOW_SIZE,
    SETTING_MAX_CONCURRENT_STREAMS,
    SETTING_MAX_HEADER_LIST_SIZE,
    h2,
    h2_body,
    h2_callbacks,
    h2_field,
    h2_frame,
    h2_load,
    h2_option,
    h2_session,
    h2_setting,
    h2_source,
)

# gRPC's status codes that are given here (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
cdef enum:
    STATUS_OK = 0
    STATUS_RESOURCE_EXHAUSTED = 8  # in words too, where a server is full
    STATUS_UNIMPLEMENTED = 12
    STATUS_INTERNAL = 13

cdef enum:
    PREFIX_BYTES = 5  # before each message: whether it is compressed, and its length
    CONNECTION_WINDOW_BYTES = 4 << 20
    STREAM_WINDOW_BYTES = 1 << 20
    FIELD_OVERHEAD_BYTES = 32  # RFC 9113, 6.5.2: what a header counts beside its name and value
    ANSWER_FIELDS = 3
    DETAILS_MAX = 1024  # characters of a status: nghttp2 drops headers of more than 64 KiB, and the status with them
    WAITING_MAX = 1000  # messages of a call that are taken apart before they are read
    # Streams that a client has reset and that were not finished: a burst, and so many a second.  Each costs the engine
    # little more than a call; nghttp2's own limit of 33 a second would end a connection whose callers gave up.
    RESETS_BURST = 10_000
    RESETS_PER_SECOND = 1_000

cdef bytes COMPRESSIONS = b"identity,deflate,gzip"
cdef h2_field[ANSWER_FIELDS] ANSWER_HEAD
cdef h2_field[1] TRAILER_OK
cdef h2_callbacks* callbacks = NULL
cdef h2_option* options = NULL


cdef inline h2_field _constant(const char* name, size_t name_size, const char* value, size_t value_size) noexcept:
    cdef h2_field field
    field.name, field.namelen = <uint8_t*>name, name_size
    field.value, field.valuelen = <uint8_t*>value, value_size
    field.flags = FIELD_NO_COPY
    return field


cdef inline h2_field _field(bytes name, bytes value) noexcept:
    """A header whose bytes live as long as these two; nghttp2 copies it."""
    cdef h2_field field
    field.name, field.namelen = <uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)
    field.value, field.valuelen = <uint8_t*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
    field.flags = 0
    return field


def load(str library):
    """Find libnghttp2 under this name (of dlopen); returns None, or what could not be found."""
    global callbacks, options
    if callbacks != NULL:
        return None
    cdef bytes name = library.encode()
    cdef const char* missing = h2_load(PyBytes_AS_STRING(name))
    if missing != NULL:
        return (<bytes>missing).decode()
    if h2.option_new(&options) or h2.session_callbacks_new(&callbacks):
        callbacks = NULL
        raise MemoryError("nghttp2: no memory for its options")
    h2.option_set_no_auto_window_update(options, 1)
    h2.option_set_no_closed_streams(options, 1)
    if h2.option_set_stream_reset_rate_limit != NULL:
        h2.option_set_stream_reset_rate_limit(options, RESETS_BURST, RESETS_PER_SECOND)
    h2.session_callbacks_set_on_begin_headers_callback(callbacks, _on_begin_headers)
    h2.session_callbacks_set_on_header_callback(callbacks, _on_header)
    h2.session_callbacks_set_on_data_chunk_recv_callback(callbacks, _on_data)
    h2.session_callbacks_set_on_frame_recv_callback(callbacks, _on_frame)
    h2.session_callbacks_set_on_frame_send_callback(callbacks, _on_sent)
    h2.session_callbacks_set_on_stream_close_callback(callbacks, _on_close)
    ANSWER_HEAD[0] = _constant(":status", 7, "200", 3)
    ANSWER_HEAD[1] = _constant("content-type", 12, "application/grpc", 16)
    ANSWER_HEAD[2] = _constant("grpc-accept-encoding", 20, PyBytes_AS_STRING(COMPRESSIONS), len(COMPRESSIONS))
    TRAILER_OK[0] = _constant("grpc-status", 11, "0", 1)
    return None


cdef class Route:
    """One method of a service."""

    cdef readonly object handler
    cdef readonly bint asks_once
    """The caller sends one message: the call is given to the server when that is there."""

    cdef readonly bint is_counted
    """Its calls are limited (Serving)."""

    cdef readonly bint is_direct
    """Its handler takes the message and the call and returns nothing: the answer comes by the call."""

    def __init__(self, handler, bint asks_once, bint is_counted, bint is_direct=False):
        self.handler = handler
        self.asks_once = asks_once
        self.is_counted = is_counted
        self.is_direct = is_direct


cdef class Serving:
    """How many calls a server serves, over all its connections.

    Beyond `calls_max` a call is refused as it comes, with RESOURCE_EXHAUSTED and `refusal`, for next to nothing: twice
    the load that a server can carry is as many refusals as answers.  Services of gRPC's own (health) are not counted.
    """

    cdef readonly int calls
    cdef readonly int calls_max
    cdef readonly int64_t bytes_kept
    """Of messages that have come and are not served yet, and of answers that have not gone."""
    cdef str refusal
    cdef bytes refusal_encoded

    def __init__(self, int calls_max, str refusal):
        self.calls_max = calls_max
        self.refusal = refusal
        self.refusal_encoded = percent_encoded(refusal)


cdef class Call:
    """One call: its headers, its messages that have come, its answer.  A server's own class may extend it."""

    cdef readonly Connection connection
    cdef readonly int32_t stream_id
    cdef readonly Route route
    cdef readonly list metadata
    """(name, value) of the headers that gRPC itself has no use for; a value is bytes where its name ends in "-bin"."""
    cdef readonly bint is_closed
    """Nothing can be sent any more: it has ended, or its caller went away."""
    cdef readonly bint has_answer
    """Its status is given: nothing more may be written."""
    cdef readonly bint has_ended
    """Its caller sends no further messages."""
    cdef readonly object timeout_s
    """How long the caller waits, from when it asked, in seconds; None: for ever."""
    cdef bytes timeout
    cdef readonly str compression
    cdef bytes path
    cdef int header_bytes
    cdef int64_t bytes_kept
    cdef bint is_grpc
    cdef bint is_post
    cdef bint is_given
    cdef bint is_counted
    cdef bint has_begun  # something of its messages has come
    cdef bint has_head
    # What has come of a message.
    cdef uint8_t[PREFIX_BYTES] prefix
    cdef Py_ssize_t prefix_size
    cdef bytes partial
    cdef Py_ssize_t partial_size
    cdef bytes request  # as it came, until its call is whole
    cdef bint is_compressed
    # Of a call that may have many messages.  While one waits to be read, what comes after it takes of the window, all
    # of it: a call holds a message and a window at most.  A compressed one stays so until it is read.
    cdef object messages  # deque of (message, whether it is compressed, bytes of it that the window still waits for)
    cdef size_t kept  # bytes of what has come of a message, likewise
    cdef bytearray rest  # what came after WAITING_MAX messages, as it came; or None
    # What is to be sent.
    cdef object out  # deque of messages, or None
    cdef Py_ssize_t out_at  # bytes of its first one, prefix included, that have gone
    cdef int status
    cdef str details

    def __cinit__(self, Connection connection, int32_t stream_id):
        self.connection = connection
        self.stream_id = stream_id

    @property
    def is_pending(self):
        """Some of what was written has not gone yet."""
        return bool(self.out) and not self.is_closed

    def next_message(self):
        """The next message that has come, or None; its caller may then send as much more.

        One that cannot be decompressed ends the call, and the server hears of that.
        """
        cdef bytes message, rest
        cdef size_t held
        cdef bint is_compressed
        if not self.messages:
            return None
        message, is_compressed, held = self.messages.popleft()
        self._keep(-PyBytes_GET_SIZE(message))
        if not self.messages:
            held, self.kept = held + self.kept, 0
            if self.rest is not None:
                rest, self.rest = bytes(self.rest), None
                self._keep(-PyBytes_GET_SIZE(rest))
                held += self._parse(<const uint8_t*>PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest))
                if self.has_ended and self.rest is None:
                    self._check_whole()
        if held and not self.is_closed:
            h2.session_consume_stream(self.connection.session, self.stream_id, held)
        if is_compressed:
            message = self.connection.server.decompressed(self, message)
            if message is None:  # it has given the status
                self._stopped()
        return message

    def served(self):
        """Its handler has ended."""
        if self.is_counted:
            self.is_counted = False
            self.connection.serving.calls -= 1

    cpdef object write(self, bytes message):
        """One message more of the answer."""
        if self.is_closed or self.has_answer:
            return
        self._put(message)
        self._start()

    cpdef object respond(self, bytes message):
        """The answer of a call that gets one message, which ends it."""
        if self.is_closed or self.has_answer:
            return
        self.has_answer = True
        self._put(message)
        self._start()

    cpdef object finish(self, int status=STATUS_OK, str details=""):
        """End the call; a `status` other than 0 says why, `details` in words."""
        if self.is_closed or self.has_answer:
            return
        self.has_answer, self.status, self.details = True, status, details
        if self.has_head:
            self._start()
        elif self.route is None or self.route.asks_once or self.has_ended or self.has_begun:
            self._refuse()
        else:
            self.connection.held[self.stream_id] = self

    cdef inline void _keep(self, Py_ssize_t size) noexcept:
        """So many bytes more of its messages are kept, or fewer."""
        if not self.is_closed:
            self.bytes_kept += size
            self.connection.bytes_kept += size
            self.connection.serving.bytes_kept += size

    cdef _refuse(self):
        """An answer that is nothing but its status."""
        cdef h2_field[ANSWER_FIELDS + 2] fields
        cdef bytes code = b"%d" % self.status
        cdef bytes said = percent_encoded(self.details)
        cdef int count = ANSWER_FIELDS
        fields[0], fields[1], fields[2] = ANSWER_HEAD[0], ANSWER_HEAD[1], ANSWER_HEAD[2]
        fields[count] = _field(b"grpc-status", code)
        count += 1
        if said:
            fields[count] = _field(b"grpc-message", said)
            count += 1
        self.has_head = True
        h2.submit_response(self.connection.session, self.stream_id, fields, count, NULL)

    cdef _put(self, bytes message):
        if self.out is None:
            self.out = deque()
        self.out.append(message)
        self._keep(PyBytes_GET_SIZE(message))

    cdef _start(self):
        """Let nghttp2 ask for what there is to send."""
        cdef h2_body body
        if self.has_head:
            h2.session_resume_data(self.connection.session, self.stream_id)
            return
        self.has_head = True
        body.source.ptr = <void*>self  # the connection keeps it until the stream is closed
        body.read = _read_answer
        h2.submit_response(self.connection.session, self.stream_id, ANSWER_HEAD, ANSWER_FIELDS, &body)

    cdef _trailer(self):
        cdef h2_field[2] fields
        cdef bytes code, said
        if self.status == STATUS_OK:
            h2.submit_trailer(self.connection.session, self.stream_id, TRAILER_OK, 1)
            return
        code, said = b"%d" % self.status, percent_encoded(self.details)
        fields[0] = _field(b"grpc-status", code)
        if said:
            fields[1] = _field(b"grpc-message", said)
        h2.submit_trailer(self.connection.session, self.stream_id, fields, 2 if said else 1)

    cdef ssize_t _fill(self, uint8_t* data, size_t room, uint32_t* flags) except -1:
        """Frames of DATA: as much of the messages as there is room for."""
        cdef size_t done = 0, part
        cdef Py_ssize_t size, at
        cdef bytes message
        cdef uint8_t[PREFIX_BYTES] prefix
        while self.out and done < room:
            message = self.out[0]
            size, at = PyBytes_GET_SIZE(message), self.out_at
            if at < PREFIX_BYTES:
                prefix[0], prefix[1], prefix[2] = 0, (size >> 24) & 0xFF, (size >> 16) & 0xFF
                prefix[3], prefix[4] = (size >> 8) & 0xFF, size & 0xFF
                part = min(<size_t>(PREFIX_BYTES - at), room - done)
                memcpy(data + done, &prefix[at], part)
            else:
                part = min(<size_t>(PREFIX_BYTES + size - at), room - done)
                memcpy(data + done, PyBytes_AS_STRING(message) + at - PREFIX_BYTES, part)
            done += part
            self.out_at += part
            if self.out_at == PREFIX_BYTES + size:
                self.out.popleft()
                self.out_at = 0
                self._keep(-size)
        if not self.out:
            if self.has_answer:
                flags[0] |= BODY_EOF | BODY_NO_END_STREAM
                self._trailer()
            else:
                self.connection.server.call_drained(self)
                if done == 0:
                    return ERROR_DEFERRED
        return done

    cdef _begin(self):
        """All headers are there."""
        cdef Connection connection = self.connection
        self._keep(self.header_bytes)
        if self.header_bytes > connection.header_bytes_max:
            self.finish(STATUS_RESOURCE_EXHAUSTED, f"expected headers of at most {connection.header_bytes_max} bytes")
            return
        if not self.is_grpc or self.path is None:  # CONNECT has no path
            connection._refuse(self, b"415")
            return
        if not self.is_post:
            connection._refuse(self, b"405")
            return
        if self.timeout is not None:
            seconds = _seconds(self.timeout)
            if seconds < 0:
                self.finish(STATUS_INTERNAL, "expected a grpc-timeout of up to 8 digits and H, M, S, m, u or n, found "
                            + self.timeout[:200].decode("utf-8", "replace"))
                return
            self.timeout_s = seconds
        self.route = connection._route(self.path)
        if self.route is None:
            self.finish(STATUS_UNIMPLEMENTED, "expected a method of this server, found "
                        + self.path[:200].decode("utf-8", "replace"))
            return
        if not self.route.asks_once:
            self.messages = deque()
            self._give(None)

    cdef _give(self, bytes message):
        """Let the server serve it."""
        cdef Serving serving = self.connection.serving
        if self.route.is_counted:
            if serving.calls >= serving.calls_max:  # it is full since its headers came
                self.finish(STATUS_RESOURCE_EXHAUSTED, serving.refusal)
                return
            self.is_counted = True
            serving.calls += 1
        self.is_given = True
        self.connection.server.call_came(self, message)

    cdef _take(self, const uint8_t* data, size_t size):
        """A part of the messages came.  What is not kept for a later read, the caller may send anew at once."""
        cdef size_t free
        self.has_begun = True
        if self.rest is not None and not self.has_answer:
            self.rest += data[:size]
            self._keep(size)
            return
        free = self._parse(data, size)
        if free:
            h2.session_consume_stream(self.connection.session, self.stream_id, free)

    cdef Py_ssize_t _parse(self, const uint8_t* data, size_t size) except -1:
        """Take messages apart; returns how many bytes more the caller may send."""
        cdef size_t left = size, part, since = 0  # of this part, since the last message that is kept
        cdef int64_t length
        while left and not self.has_answer:
            if self.messages is not None and len(self.messages) >= WAITING_MAX and not self.prefix_size:
                self.rest = bytearray(data[:left])
                self._keep(left)
                return since
            if self.partial is None:
                part = min(left, <size_t>(PREFIX_BYTES - self.prefix_size))
                memcpy(&self.prefix[self.prefix_size], data, part)
                self.prefix_size += part
                data, left, since = data + part, left - part, since + part
                if self.prefix_size < PREFIX_BYTES:
                    break
                length = (<int64_t>self.prefix[1] << 24) | (self.prefix[2] << 16) | (self.prefix[3] << 8) | (
                    self.prefix[4])
                if length > self.connection.message_bytes_max:
                    self.finish(STATUS_RESOURCE_EXHAUSTED,
                                f"expected a message of at most {self.connection.message_bytes_max} bytes, "
                                f"found {length}")
                    self._stopped()
                    break
                self.partial, self.partial_size = PyBytes_FromStringAndSize(NULL, length), 0
            part = min(left, <size_t>(PyBytes_GET_SIZE(self.partial) - self.partial_size))
            memcpy(PyBytes_AS_STRING(self.partial) + self.partial_size, data, part)
            self.partial_size += part
            self._keep(part)
            data, left, since = data + part, left - part, since + part
            if self.partial_size == PyBytes_GET_SIZE(self.partial):
                if self._complete(since):
                    since = 0
        if self.messages and not self.has_answer:  # one waits, and so this one does
            self.kept += since
            return 0
        return since + left

    cdef bint _complete(self, size_t held) except -1:
        """A message is there; returns whether its bytes wait for a read."""
        cdef bytes message = self.partial
        self.partial, self.prefix_size = None, 0
        if self.route is None or self.has_answer:
            return False
        if not self.route.asks_once:
            self.messages.append((message, self.prefix[0] != 0, held + self.kept))
            self.kept = 0
            self.connection.server.message_came(self)
            return True
        if self.request is not None:
            self.finish(STATUS_UNIMPLEMENTED, "expected one message, found more")
            return False
        self.request, self.is_compressed = message, self.prefix[0] != 0
        return False

    cdef _ended(self):
        """Its caller has sent everything."""
        self.has_ended = True
        if self.has_answer or self.route is None:
            return
        if self.rest is None and not self._check_whole():
            return
        if not self.route.asks_once:
            self.connection.server.message_came(self)
        elif self.request is None:
            self.finish(STATUS_UNIMPLEMENTED, "expected one message, found none")
        else:
            message, self.request = self.request, None
            self._keep(-self.bytes_kept)
            if self.is_compressed:
                message = self.connection.server.decompressed(self, message)
                if message is None:  # it has given the status
                    return
            self._give(message)

    cdef bint _check_whole(self) except -1:
        """Whether the messages end where the caller has; a call in which they do not has its status."""
        if self.prefix_size and not self.has_answer:
            self.finish(STATUS_INTERNAL, "expected the rest of a message, found the end of the call")
            self._stopped()
            return False
        return True

    cdef _stopped(self):
        """The call got its status here; whoever serves it must know."""
        if self.is_given:
            self.connection.server.call_stopped(self)

    cdef _closed(self):
        self._keep(-self.bytes_kept)
        self.is_closed = True
        self.out = None
        if self.is_given and not self.has_answer:
            self.connection.server.call_stopped(self)


cdef class Connection:
    """One connection of a server.

    `server` gives it `make_call(connection, stream_id)` and `find_route(path)`, and hears of `call_came(call, message)`
    (message None where the caller sends many), `message_came(call)` (or its caller's last), `call_drained(call)` (all
    that was written has gone), `call_stopped(call)` (its caller went away, or it got its status here), and
    `decompressed(call, message)`, which may give the call a status and return None.

    The status of a call whose caller may send many messages, and has not begun, waits until something comes or for
    `release`: grpc.aio's clients call it INTERNAL where a stream ends before their first message is on its way.
    """

    cdef h2_session* session
    cdef readonly object server
    cdef readonly Serving serving
    cdef readonly dict calls
    cdef dict routes
    cdef dict held
    cdef readonly int message_bytes_max
    cdef readonly int header_bytes_max
    cdef readonly bint has_settings
    """The other side has begun as HTTP/2 wants it."""
    cdef readonly int64_t bytes_kept
    """Of its calls' messages, as in Serving."""
    cdef int32_t last_stream_id
    cdef object error

    def __cinit__(self, server, Serving serving, dict routes, int streams_max, int message_bytes_max, int header_bytes_max):
        cdef h2_setting[3] settings
        if callbacks == NULL:
            raise RuntimeError("nghttp2 is not loaded: call load() first")
        self.server = server
        self.serving = serving
        self.routes = routes
        self.calls = {}
        self.held = {}
        self.message_bytes_max = message_bytes_max
        self.header_bytes_max = header_bytes_max
        if h2.session_server_new2(&self.session, callbacks, <void*>self, options):
            self.session = NULL
            raise MemoryError("nghttp2: no memory for a connection")
        settings[0].id, settings[0].value = SETTING_MAX_CONCURRENT_STREAMS, streams_max
        settings[1].id, settings[1].value = SETTING_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES
        settings[2].id, settings[2].value = SETTING_MAX_HEADER_LIST_SIZE, header_bytes_max
        h2.submit_settings(self.session, 0, settings, 3)
        h2.session_set_local_window_size(self.session, 0, 0, CONNECTION_WINDOW_BYTES)

    def __dealloc__(self):
        if self.session != NULL:
            h2.session_del(self.session)

    cpdef bint receive(self, bytes data) except -1:
        """Bytes from the socket; returns False where the connection cannot go on (what is to be sent still may)."""
        if self.session == NULL:
            return False
        cdef ssize_t done = h2.session_mem_recv(self.session, <const uint8_t*>PyBytes_AS_STRING(data), len(data))
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return done == len(data)

    cpdef bytes output(self, Py_ssize_t bytes_max):
        """What is to be sent now, about so many bytes; b"" where that is nothing."""
        cdef const uint8_t* data
        cdef bytes first
        cdef ssize_t size
        if self.session == NULL:
            return b""
        size = h2.session_mem_send(self.session, &data)
        cdef list parts
        cdef Py_ssize_t total
        if size <= 0:
            self._raise()
            return b""
        first = PyBytes_FromStringAndSize(<const char*>data, size)
        parts, total = [first], size
        while total < bytes_max:
            size = h2.session_mem_send(self.session, &data)
            if size <= 0:
                self._raise()
                break
            parts.append(PyBytes_FromStringAndSize(<const char*>data, size))
            total += size
        return first if len(parts) == 1 else b"".join(parts)

    @property
    def queue_size(self):
        """Frames that wait to be sent, beside those of the calls' own answers."""
        return 0 if self.session == NULL else h2.session_get_outbound_queue_size(self.session)

    @property
    def has_output(self):
        """There is something to be sent, or nothing will come any more."""
        return self.session == NULL or h2.session_want_write(self.session) or not h2.session_want_read(self.session)

    @property
    def is_over(self):
        """Nothing will come or go any more."""
        return self.session == NULL or not h2.session_want_read(self.session) and not h2.session_want_write(self.session)

    @property
    def is_answering(self):
        """Some answer or status has not gone whole."""
        return any((<Call>call).has_answer for call in self.calls.values())

    def shut_down(self):
        """Take no new calls; the other side hears which were the last."""
        if self.session == NULL:
            return
        h2.submit_goaway(
            self.session, 0, h2.session_get_last_proc_stream_id(self.session), RESET_NO_ERROR, NULL, 0)

    def release(self):
        """Send the statuses that wait for their callers to say something; returns whether there are any."""
        if not self.held:
            return False
        for stream_id in list(self.held):
            self._release(stream_id)
        return True

    cdef _release(self, int32_t stream_id):
        if stream_id not in self.held:
            return
        call = self.held.pop(stream_id)
        if call is None:
            self._refuse_full(stream_id)
        else:
            (<Call>call)._refuse()

    def lost(self):
        """The socket is closed: every call ends."""
        for call in list(self.calls.values()):
            (<Call>call)._closed()
        self.calls.clear()
        self.held.clear()
        if self.session != NULL:
            h2.session_del(self.session)
            self.session = NULL

    def forget(self):
        """No call of it is served any more: let go of the server, which has this."""
        self.server = None

    cdef _raise(self):
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    cdef Route _route(self, bytes path):
        route = self.routes.get(path)
        if route is None:
            route = self.server.find_route(path)
        return route

    cdef _refuse(self, Call call, bytes http_status):
        """Answer what is no gRPC in the words of HTTP."""
        cdef h2_field[1] fields
        fields[0] = _field(b":status", http_status)
        call.has_answer = call.has_head = True
        h2.submit_response(self.session, call.stream_id, fields, 1, NULL)

    cdef _refuse_full(self, int32_t stream_id):
        cdef h2_field[ANSWER_FIELDS + 2] fields
        fields[0], fields[1], fields[2] = ANSWER_HEAD[0], ANSWER_HEAD[1], ANSWER_HEAD[2]
        fields[3] = _field(b"grpc-status", b"8")
        fields[4] = _field(b"grpc-message", self.serving.refusal_encoded)
        h2.submit_response(self.session, stream_id, fields, ANSWER_FIELDS + 2, NULL)

    cdef _header(self, Call call, const uint8_t* name, size_t name_size, const uint8_t* value, size_t value_size):
        if call.is_given or call.header_bytes > self.header_bytes_max:
            return
        call.header_bytes += name_size + value_size + FIELD_OVERHEAD_BYTES
        if call.header_bytes > self.header_bytes_max:
            return
        if _is(name, name_size, b":path"):
            call.path = PyBytes_FromStringAndSize(<const char*>value, value_size)
        elif _is(name, name_size, b"content-type"):
            call.is_grpc = value_size >= 16 and not memcmp(value, b"application/grpc", 16)
        elif name[0] == b":"[0]:
            if _is(name, name_size, b":method"):
                call.is_post = _is(value, value_size, b"POST")
        elif _is(name, name_size, b"te") or _is(name, name_size, b"user-agent"):
            pass
        elif _is(name, name_size, b"grpc-timeout"):
            call.timeout = PyBytes_FromStringAndSize(<const char*>value, value_size)
        elif _is(name, name_size, b"grpc-encoding"):
            call.compression = PyBytes_FromStringAndSize(<const char*>value, value_size).decode("ascii", "replace")
        elif name_size > 5 and not memcmp(name, b"grpc-", 5):
            pass
        else:
            if call.metadata is None:
                call.metadata = []
            call.metadata.append(_metadata(name[:name_size], value[:value_size]))


cdef double _seconds(bytes timeout) noexcept:
    """What a grpc-timeout header says; -1 where that is no time."""
    cdef const char* text = PyBytes_AS_STRING(timeout)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(timeout) - 1, at
    cdef int64_t count = 0
    if not 1 <= size <= 8:
        return -1
    for at in range(size):
        if not b"0"[0] <= text[at] <= b"9"[0]:
            return -1
        count = 10 * count + text[at] - b"0"[0]
    unit = text[size]
    if unit == b"H"[0]:
        return count * 3600.0
    if unit == b"M"[0]:
        return count * 60.0
    if unit == b"S"[0]:
        return count
    if unit == b"m"[0]:
        return count * 1e-3
    if unit == b"u"[0]:
        return count * 1e-6
    return count * 1e-9 if unit == b"n"[0] else -1


cdef object _metadata(bytes name, bytes value):
    key = name.decode("ascii", "replace")
    if not key.endswith("-bin"):
        return key, value.decode("utf-8", "replace")
    try:
        return key, b64decode(value + b"==")  # more padding than is wanted does no harm, and some send none
    except ValueError:
        return key, value


cdef inline bint _is(const uint8_t* data, size_t size, const char* name) noexcept:
    cdef size_t at = 0
    while at < size and name[at] and data[at] == <uint8_t>name[at]:
        at += 1
    return at == size and not name[at]


cpdef bytes percent_encoded(str text):
    """`text` as a grpc-message header carries it: UTF-8, all but printable ASCII as %XX, % too.

    No more than DETAILS_MAX characters of it.
    """
    cdef bytes raw = text[:DETAILS_MAX].encode("utf-8", "replace")
    return b"".join([b"%%%02X" % one if one < 0x20 or one > 0x7E or one == 0x25 else bytes((one,)) for one in raw])


# nghttp2's callbacks.  What goes wrong in one ends the connection, and is raised from what called nghttp2.

cdef int _on_begin_headers(h2_session* session, const h2_frame* frame, void* user) noexcept:
    connection = <Connection>user
    try:
        if frame.head.stream_id <= connection.last_stream_id:
            return 0  # a trailer
        connection.last_stream_id = frame.head.stream_id
        if connection.serving.calls < connection.serving.calls_max:
            connection.calls[frame.head.stream_id] = connection.server.make_call(connection, frame.head.stream_id)
    except BaseException as error:
        connection.error = error
        return ERROR_CALLBACK_FAILURE
    return 0


cdef int _on_header(
    h2_session* session, const h2_frame* frame, const uint8_t* name, size_t name_size, const uint8_t* value,
    size_t value_size, uint8_t flags, void* user,
) noexcept:
    connection = <Connection>user
    try:
        call = connection.calls.get(frame.head.stream_id)
        if call is None and value_size > 6 and not memcmp(value, b"/grpc.", 6) and _is(name, name_size, b":path"):
            call = connection.server.make_call(connection, frame.head.stream_id)
            connection.calls[frame.head.stream_id] = call
        if call is not None:
            connection._header(<Call>call, name, name_size, value, value_size)
    except BaseException as error:
        connection.error = error
        return ERROR_CALLBACK_FAILURE
    return 0


cdef int _on_data(
    h2_session* session, uint8_t flags, int32_t stream_id, const uint8_t* data, size_t size, void* user
) noexcept:
    connection = <Connection>user
    try:
        h2.session_consume_connection(session, size)
        if connection.held:
            connection._release(stream_id)
        call = connection.calls.get(stream_id)
        if call is not None:
            (<Call>call)._take(data, size)
        else:
            h2.session_consume_stream(session, stream_id, size)
    except BaseException as error:
        connection.error = error
        return ERROR_CALLBACK_FAILURE
    return 0


cdef int _on_frame(h2_session* session, const h2_frame* frame, void* user) noexcept:
    connection = <Connection>user
    connection.has_settings = True
    if frame.head.type > FRAME_HEADERS:
        return 0
    try:
        call = connection.calls.get(frame.head.stream_id)
        if call is not None:
            if frame.head.type == FRAME_HEADERS and (<Call>call).route is None and not (<Call>call).has_answer:
                (<Call>call)._begin()
            if frame.head.flags & FLAG_END_STREAM:
                (<Call>call)._ended()
        elif frame.head.type == FRAME_HEADERS and not frame.head.flags & FLAG_END_STREAM:
            connection.held[frame.head.stream_id] = None
        elif frame.head.type == FRAME_HEADERS:
            connection._refuse_full(frame.head.stream_id)
        if connection.held and frame.head.flags & FLAG_END_STREAM:
            connection._release(frame.head.stream_id)
    except BaseException as error:
        connection.error = error
        return ERROR_CALLBACK_FAILURE
    return 0


cdef int _on_sent(h2_session* session, const h2_frame* frame, void* user) noexcept:
    """A call that has its status ends, also where its caller would send more (RFC 9113, 8.1)."""
    if frame.head.type == FRAME_HEADERS and frame.head.flags & FLAG_END_STREAM:
        if h2.session_get_stream_remote_close(session, frame.head.stream_id) == 0:
            h2.submit_rst_stream(session, 0, frame.head.stream_id, RESET_NO_ERROR)
    return 0


cdef int _on_close(h2_session* session, int32_t stream_id, uint32_t error_code, void* user) noexcept:
    connection = <Connection>user
    try:
        connection.held.pop(stream_id, None)
        call = connection.calls.pop(stream_id, None)
        if call is not None:
            (<Call>call)._closed()
    except BaseException as error:
        connection.error = error
        return ERROR_CALLBACK_FAILURE
    return 0


cdef ssize_t _read_answer(
    h2_session* session, int32_t stream_id, uint8_t* data, size_t room, uint32_t* flags, h2_source* source, void* user
) noexcept:
    call = <Call>source.ptr
    try:
        return call._fill(data, room, flags)
    except BaseException as error:
        call.connection.error = error
        return ERROR_CALLBACK_FAILURE
