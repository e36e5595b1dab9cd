"""What http2.pyx uses of libnghttp2, found when the program runs: no header and no library is needed to build.

The names, types and numbers are those of nghttp2's documented interface (https://nghttp2.org/documentation/), without
their prefix.  `h2_load` fills `h2`; until it has given NULL, nothing of `h2` may be called.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <sys/types.h>
    #ifndef _WIN32
    #include <dlfcn.h>
    #endif

    typedef struct h2_session h2_session;
    typedef struct h2_callbacks h2_callbacks;
    typedef struct h2_option h2_option;
    typedef struct { size_t length; int32_t stream_id; uint8_t type; uint8_t flags; uint8_t reserved; } h2_frame_head;
    typedef struct { h2_frame_head head; } h2_frame;  /* the part that all frames begin with */
    typedef struct { uint8_t *name; uint8_t *value; size_t namelen; size_t valuelen; uint8_t flags; } h2_field;
    typedef struct { int32_t id; uint32_t value; } h2_setting;
    typedef union { int fd; void *ptr; } h2_source;
    typedef ssize_t (*h2_read)(h2_session *, int32_t, uint8_t *, size_t, uint32_t *, h2_source *, void *);
    typedef struct { h2_source source; h2_read read; } h2_body;
    typedef int (*h2_on_frame)(h2_session *, const h2_frame *, void *);
    typedef int (*h2_on_field)(h2_session *, const h2_frame *, const uint8_t *, size_t, const uint8_t *, size_t,
                               uint8_t, void *);
    typedef int (*h2_on_data)(h2_session *, uint8_t, int32_t, const uint8_t *, size_t, void *);
    typedef int (*h2_on_close)(h2_session *, int32_t, uint32_t, void *);

    #define H2_FUNCTIONS(one) \\
        one(int, session_callbacks_new, (h2_callbacks **)) \\
        one(void, session_callbacks_set_on_begin_headers_callback, (h2_callbacks *, h2_on_frame)) \\
        one(void, session_callbacks_set_on_header_callback, (h2_callbacks *, h2_on_field)) \\
        one(void, session_callbacks_set_on_data_chunk_recv_callback, (h2_callbacks *, h2_on_data)) \\
        one(void, session_callbacks_set_on_frame_recv_callback, (h2_callbacks *, h2_on_frame)) \\
        one(void, session_callbacks_set_on_frame_send_callback, (h2_callbacks *, h2_on_frame)) \\
        one(void, session_callbacks_set_on_stream_close_callback, (h2_callbacks *, h2_on_close)) \\
        one(int, option_new, (h2_option **)) \\
        one(void, option_set_no_auto_window_update, (h2_option *, int)) \\
        one(void, option_set_no_closed_streams, (h2_option *, int)) \\
        one(int, session_server_new2, (h2_session **, const h2_callbacks *, void *, const h2_option *)) \\
        one(void, session_del, (h2_session *)) \\
        one(ssize_t, session_mem_recv, (h2_session *, const uint8_t *, size_t)) \\
        one(ssize_t, session_mem_send, (h2_session *, const uint8_t **)) \\
        one(int, session_want_read, (h2_session *)) \\
        one(int, session_want_write, (h2_session *)) \\
        one(int, session_set_local_window_size, (h2_session *, uint8_t, int32_t, int32_t)) \\
        one(int, session_consume_connection, (h2_session *, size_t)) \\
        one(int, session_consume_stream, (h2_session *, int32_t, size_t)) \\
        one(int, session_resume_data, (h2_session *, int32_t)) \\
        one(int, session_get_stream_remote_close, (h2_session *, int32_t)) \\
        one(int32_t, session_get_last_proc_stream_id, (h2_session *)) \\
        one(size_t, session_get_outbound_queue_size, (h2_session *)) \\
        one(int, submit_settings, (h2_session *, uint8_t, const h2_setting *, size_t)) \\
        one(int, submit_response, (h2_session *, int32_t, const h2_field *, size_t, const h2_body *)) \\
        one(int, submit_trailer, (h2_session *, int32_t, const h2_field *, size_t)) \\
        one(int, submit_rst_stream, (h2_session *, uint8_t, int32_t, uint32_t)) \\
        one(int, submit_goaway, (h2_session *, uint8_t, int32_t, uint32_t, const uint8_t *, size_t))

    static struct {
    #define H2_MEMBER(type, name, arguments) type (*name) arguments;
        H2_FUNCTIONS(H2_MEMBER)
        /* Of 1.57, and of the older versions that distributions mended; NULL where it is missing. */
        void (*option_set_stream_reset_rate_limit)(h2_option *, uint64_t, uint64_t);
    } h2;

    /* NULL, or what was not found. */
    static const char *h2_load(const char *library) {
    #ifdef _WIN32
        return library;
    #else
        void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
        if (!handle) return library;
    #define H2_FIND(type, name, arguments) \\
        if (!(*(void **)&h2.name = dlsym(handle, "nghttp2_" #name))) return "nghttp2_" #name;
        H2_FUNCTIONS(H2_FIND)
        *(void **)&h2.option_set_stream_reset_rate_limit = dlsym(handle, "nghttp2_option_set_stream_reset_rate_limit");
        return NULL;
    #endif
    }
    """
    ctypedef struct h2_session
    ctypedef struct h2_callbacks
    ctypedef struct h2_option

    ctypedef struct h2_frame_head:
        size_t length
        int32_t stream_id
        uint8_t type
        uint8_t flags

    ctypedef struct h2_frame:
        h2_frame_head head

    ctypedef struct h2_field:
        uint8_t* name
        uint8_t* value
        size_t namelen
        size_t valuelen
        uint8_t flags

    ctypedef struct h2_setting:
        int32_t id
        uint32_t value

    ctypedef union h2_source:
        void* ptr

    ctypedef ssize_t (*h2_read)(
        h2_session*, int32_t, uint8_t*, size_t, uint32_t*, h2_source*, void*) noexcept

    ctypedef struct h2_body:
        h2_source source
        h2_read read

    ctypedef int (*h2_on_frame)(h2_session*, const h2_frame*, void*) noexcept
    ctypedef int (*h2_on_field)(
        h2_session*, const h2_frame*, const uint8_t*, size_t, const uint8_t*, size_t, uint8_t, void*) noexcept
    ctypedef int (*h2_on_data)(h2_session*, uint8_t, int32_t, const uint8_t*, size_t, void*) noexcept
    ctypedef int (*h2_on_close)(h2_session*, int32_t, uint32_t, void*) noexcept

    ctypedef struct h2_library:
        int (*session_callbacks_new)(h2_callbacks**)
        void (*session_callbacks_set_on_begin_headers_callback)(h2_callbacks*, h2_on_frame)
        void (*session_callbacks_set_on_header_callback)(h2_callbacks*, h2_on_field)
        void (*session_callbacks_set_on_data_chunk_recv_callback)(h2_callbacks*, h2_on_data)
        void (*session_callbacks_set_on_frame_recv_callback)(h2_callbacks*, h2_on_frame)
        void (*session_callbacks_set_on_frame_send_callback)(h2_callbacks*, h2_on_frame)
        void (*session_callbacks_set_on_stream_close_callback)(h2_callbacks*, h2_on_close)
        int (*option_new)(h2_option**)
        void (*option_set_no_auto_window_update)(h2_option*, int)
        void (*option_set_no_closed_streams)(h2_option*, int)
        void (*option_set_stream_reset_rate_limit)(h2_option*, unsigned long, unsigned long)
        int (*session_server_new2)(h2_session**, const h2_callbacks*, void*, const h2_option*)
        void (*session_del)(h2_session*)
        ssize_t (*session_mem_recv)(h2_session*, const uint8_t*, size_t)
        ssize_t (*session_mem_send)(h2_session*, const uint8_t**)
        int (*session_want_read)(h2_session*)
        int (*session_want_write)(h2_session*)
        int (*session_set_local_window_size)(h2_session*, uint8_t, int32_t, int32_t)
        int (*session_consume_connection)(h2_session*, size_t)
        int (*session_consume_stream)(h2_session*, int32_t, size_t)
        int (*session_resume_data)(h2_session*, int32_t)
        int (*session_get_stream_remote_close)(h2_session*, int32_t)
        int32_t (*session_get_last_proc_stream_id)(h2_session*)
        size_t (*session_get_outbound_queue_size)(h2_session*)
        int (*submit_settings)(h2_session*, uint8_t, const h2_setting*, size_t)
        int (*submit_response)(h2_session*, int32_t, const h2_field*, size_t, const h2_body*)
        int (*submit_trailer)(h2_session*, int32_t, const h2_field*, size_t)
        int (*submit_rst_stream)(h2_session*, uint8_t, int32_t, uint32_t)
        int (*submit_goaway)(h2_session*, uint8_t, int32_t, uint32_t, const uint8_t*, size_t)

    h2_library h2
    const char* h2_load(const char* library)


cdef enum:
    FRAME_HEADERS = 1
    FLAG_END_STREAM = 1
    FIELD_NO_COPY = 6  # of the name and the value
    BODY_EOF = 1
    BODY_NO_END_STREAM = 2
    ERROR_DEFERRED = -508
    ERROR_CALLBACK_FAILURE = -902
    SETTING_MAX_CONCURRENT_STREAMS = 3
    SETTING_INITIAL_WINDOW_SIZE = 4
    SETTING_MAX_HEADER_LIST_SIZE = 6
    RESET_NO_ERROR = 0
