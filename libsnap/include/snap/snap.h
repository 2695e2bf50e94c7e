/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C interface of libsnap. C99 and later, C++ too.
 *
 * Answers: a function that can fail returns SNAP_OK or a SNAP_E_* code and, where `error` is not NULL, fills *error.
 * A NULL where something is needed is SNAP_E_INVALID_ARGUMENT; a region number that is not there is SNAP_E_NOT_FOUND.
 * Units: offsets, lengths and sizes are bytes; regions are numbered from 0.
 * Structs that begin with struct_size: set it to sizeof the struct (the SNAP_*_INIT macros do), so that a program and a library
 * of different versions understand each other. Options may be NULL, which is the defaults.
 * Threads: a snap_image may be used by any number of threads at once; a snap_writer by one at a time.
 * The library has no global state, prints nothing, ends no process and starts only the threads it is asked for.
 */
#ifndef SNAP_SNAP_H
#define SNAP_SNAP_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SNAP_API __attribute__((visibility("default")))
#else
#define SNAP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ---- */

/* The numbers are never changed. A later version may add some. */
enum {
  SNAP_OK = 0,
  SNAP_E_TRUNCATED = 10,       /* the file ends before its end: incomplete */
  SNAP_E_CORRUPT = 20,         /* bytes are not what was written, or not legal */
  SNAP_E_UNSUPPORTED = 30,     /* legal, but this version or build does not know it */
  SNAP_E_LIMIT = 40,           /* over a limit of the format or of the caller */
  SNAP_E_PARENT_MISMATCH = 50, /* the parent offered is not the one recorded */
  SNAP_E_IO = 60,              /* the operating system refused; see sys_errno */
  SNAP_E_NO_MEMORY = 70,
  SNAP_E_INVALID_ARGUMENT = 80,
  SNAP_E_NOT_FOUND = 90,
  SNAP_E_CANCELLED = 100
};

struct snap_error {
  int32_t code;         /* SNAP_OK or SNAP_E_* */
  int16_t sys_errno;    /* errno where code is SNAP_E_IO, else 0 */
  uint16_t ancestor;    /* whose error it is in a chain: 0 this file's, 1 its parent's, and so on */
  uint64_t file_offset; /* where in the file or stream */
  const char* what;     /* the cause; lives as long as the library, never NULL */
  uint64_t detail;      /* a number that belongs to `what`: a block, a version, a feature bit */
};

/* A short name such as "damaged"; "unknown" for a number that is no code. */
SNAP_API const char* snap_name_code(int32_t code);

/* The version of the library in use, such as "0.1.0". */
SNAP_API const char* snap_get_version(void);

/* ---- Long calls: progress and cancelling ---- */

/* May be handed to one long call (restore, check) at a time, and watched from other threads. */
typedef struct snap_job snap_job;

/* NULL when there is no memory. */
SNAP_API snap_job* snap_new_job(void);
SNAP_API void snap_free_job(snap_job* job);
/* Bytes dealt with so far, over all calls that had the job. Any thread. */
SNAP_API uint64_t snap_get_progress(const snap_job* job);
/* The call that has the job ends soon with SNAP_E_CANCELLED, as does a later one. Any thread, and signal handlers. */
SNAP_API void snap_cancel_job(snap_job* job);

/* ---- Opening ---- */

/* A snapshot open for reading. */
typedef struct snap_image snap_image;

struct snap_open_options {
  uint32_t struct_size;
  uint32_t use_io_uring; /* 1: batches go through io_uring where the kernel lets; only with a descriptor */
  uint64_t cache_bytes;  /* hard limit on decoded blocks and index nodes kept; 0 keeps none */
  snap_image* parent;    /* for a snapshot that is a difference: its parent, open, to be closed after it; else NULL */
};
#define SNAP_OPEN_OPTIONS_INIT \
  { sizeof(struct snap_open_options), 0u, (uint64_t)64 << 20, NULL }

/*
 * A source of one's own: an object store, a VMM's block layer. Both functions are called from any thread at any time; they
 * return 0, or an errno, which comes back as SNAP_E_IO. They must not unwind through the library (no longjmp, no exception).
 */
struct snap_source {
  uint32_t struct_size;
  uint32_t reserved; /* 0 */
  void* opaque;      /* handed back */
  int (*get_size)(void* opaque, uint64_t* size);
  /* Reads until `length` bytes are there or the source ends; *done says how many are. */
  int (*read_at)(void* opaque, uint64_t offset, void* buffer, size_t length, size_t* done);
};

/*
 * SNAP_E_PARENT_MISMATCH where options->parent is not the parent that the snapshot names, or is missing, or is given for a
 * snapshot that has none. Any number of images may share one parent.
 */

/* The file stays the caller's, who keeps it open until snap_close_image(). Read with pread: its position does not matter. */
SNAP_API int32_t snap_open_image_fd(int fd, const struct snap_open_options* options, snap_image** image,
                                    struct snap_error* error);
/* *source is copied; what its `opaque` points to must outlive the image. */
SNAP_API int32_t snap_open_image_source(const struct snap_source* source, const struct snap_open_options* options,
                                        snap_image** image, struct snap_error* error);
/* No call may be using the image, and no image be open that has it as its parent. NULL is allowed. */
SNAP_API void snap_close_image(snap_image* image);

struct snap_digest {
  uint8_t bytes[32];
};

/* What a snapshot says of its parent: asked before it can be opened. */
struct snap_parent {
  uint32_t struct_size;
  uint32_t has_parent;       /* 0: it stands alone */
  uint32_t depth;            /* the most parents that its chain can have */
  uint32_t reserved;         /* 0 */
  struct snap_digest digest; /* of the snapshot asked about */
  struct snap_digest parent; /* of its parent */
  char hint[256];            /* the parent's file name without any directory; may be empty. Open only what you choose to trust */
};
#define SNAP_PARENT_INIT                        \
  {                                             \
    sizeof(struct snap_parent), 0u, 0u, 0u, {   \
      { 0u }                                    \
    },                                          \
        { { 0u } }, { 0 }                       \
  }
SNAP_API int32_t snap_read_parent_fd(int fd, struct snap_parent* parent, struct snap_error* error);
SNAP_API int32_t snap_read_parent_source(const struct snap_source* source, struct snap_parent* parent, struct snap_error* error);

/* ---- What a snapshot has ---- */

enum {
  SNAP_REGION_MEMORY = 1, /* guest memory */
  SNAP_REGION_STATE = 2   /* an opaque byte string: device state, configuration */
};

#define SNAP_UNKNOWN_SIZE UINT64_MAX
#define SNAP_PAGE_SIZE 4096u

/* The guest sees [offset, offset + length) of the region at guest_address. */
struct snap_placement {
  uint64_t guest_address;
  uint64_t offset;
  uint64_t length;
};

struct snap_region {
  uint32_t struct_size;
  uint32_t kind;            /* SNAP_REGION_* */
  uint32_t guest_page_log2; /* 12 for pages of 4096 bytes */
  uint32_t placement_count;
  const struct snap_placement* placements; /* as long as the image; ascending by offset */
  const char* name;                        /* as long as the image; UTF-8, at most 1023 bytes */
  uint64_t size;                           /* SNAP_UNKNOWN_SIZE only in snap_begin_region() */
};
#define SNAP_REGION_INIT \
  { sizeof(struct snap_region), SNAP_REGION_MEMORY, 12u, 0u, NULL, NULL, SNAP_UNKNOWN_SIZE }

SNAP_API uint32_t snap_count_regions(const snap_image* image);
/* Fills *info up to its struct_size. */
SNAP_API int32_t snap_get_region(const snap_image* image, uint32_t region, struct snap_region* info, struct snap_error* error);
/* The number of a region. SNAP_E_NOT_FOUND where there is none. */
SNAP_API int32_t snap_find_region(const snap_image* image, uint32_t kind, const char* name, uint32_t* region,
                                  struct snap_error* error);

/* The value of a key, as long as the image; NULL where there is none. */
SNAP_API const char* snap_get_metadata(const snap_image* image, const char* key);
/* Calls `visit` for each pair, by ascending key, until it answers other than 0; returns its last answer, 0 without a pair. */
SNAP_API int snap_visit_metadata(const snap_image* image, int (*visit)(void* opaque, const char* key, const char* value),
                                 void* opaque);

/* The digest that names the content; that of one region. */
SNAP_API void snap_get_digest(const snap_image* image, struct snap_digest* digest);
SNAP_API int32_t snap_get_region_digest(const snap_image* image, uint32_t region, struct snap_digest* digest,
                                        struct snap_error* error);
/* The unit of compression: aligned reads of whole blocks are the fastest. */
SNAP_API uint32_t snap_get_block_size(const snap_image* image);
SNAP_API uint64_t snap_get_file_size(const snap_image* image);

/* ---- Reading ---- */

/*
 * Bytes [offset, offset + length) of a region into `buffer`: checked, or an error and `buffer` undefined.
 * All of them inside the region, or SNAP_E_INVALID_ARGUMENT; length may be 0.
 */
SNAP_API int32_t snap_read_region(snap_image* image, uint32_t region, uint64_t offset, void* buffer, size_t length,
                                  struct snap_error* error);

struct snap_read {
  uint32_t region;
  uint32_t reserved; /* 0 */
  uint64_t offset;
  void* buffer;
  size_t length;
};

/* Many reads, in one submission to the source where it can. The first error ends it; then all buffers are undefined. */
SNAP_API int32_t snap_read_batch(snap_image* image, const struct snap_read* reads, size_t count, struct snap_error* error);

struct snap_extent {
  uint64_t offset;
  uint64_t length;
  uint32_t has_data; /* 0: all of it is zero */
  uint32_t reserved;
};

/* The stretch of zeros or of data that begins at `offset` (inside the region); nothing is decoded. */
SNAP_API int32_t snap_get_extent(snap_image* image, uint32_t region, uint64_t offset, struct snap_extent* extent,
                                 struct snap_error* error);

/* ---- Restoring ---- */

struct snap_restore_options {
  uint32_t struct_size;
  uint32_t threads;        /* worker threads; 0: all work in the calling thread */
  uint32_t target_is_zero; /* 1: the target reads as zeros already, so zero pages are not touched */
  uint32_t reserved;       /* 0 */
  snap_job* job;           /* or NULL */
};
#define SNAP_RESTORE_OPTIONS_INIT \
  { sizeof(struct snap_restore_options), 0u, 0u, 0u, NULL }

/* A whole region into memory; `length` is the region's size. After an error the memory is undefined. */
SNAP_API int32_t snap_restore_memory(snap_image* image, uint32_t region, void* memory, size_t length,
                                     const struct snap_restore_options* options, struct snap_error* error);
/* A whole region into a file or block device from file_offset on. Nothing is synced. */
SNAP_API int32_t snap_restore_fd(snap_image* image, uint32_t region, int fd, uint64_t file_offset,
                                 const struct snap_restore_options* options, struct snap_error* error);

/*
 * A difference over memory that holds its parent's bytes of the region, zero where the parent has none: afterwards it holds the
 * child's. Only pages that differ are touched, so this is how many children are restored over private mappings of one base.
 * `length` is the child's size. After an error the memory is undefined.
 */
SNAP_API int32_t snap_apply_changes(snap_image* image, uint32_t region, void* memory, size_t length,
                                    const struct snap_restore_options* options, struct snap_error* error);

/*
 * The same snapshot with its memory regions decoded, once, into memory files: reads are copies from there. As the parent of images
 * and writers it spares them all decoding. `image` must be closed after it.
 */
SNAP_API int32_t snap_hold_image(snap_image* image, const struct snap_restore_options* options, snap_image** held,
                                 struct snap_error* error);
/* The sealed memory file of a region of a held image, to be mapped privately; -1 where there is none. It stays the image's. */
SNAP_API int snap_get_memory_fd(const snap_image* held, uint32_t region);

/*
 * Calls `visit` for each stretch of pages that differ from the parent's, ascending; of a snapshot that stands alone, of pages
 * that are not zero. Nothing is decoded. Ends with SNAP_E_CANCELLED where `visit` answers other than 0.
 */
SNAP_API int32_t snap_visit_changes(snap_image* image, uint32_t region,
                                    int (*visit)(void* opaque, uint64_t offset, uint64_t length, uint32_t became_zero), void* opaque,
                                    struct snap_error* error);

/* ---- Writing ---- */

/* Where a parent's pages stand, by content, so that writers find those that moved. */
typedef struct snap_parent_pages snap_parent_pages;
/* Decodes the parent once; options->target_is_zero means nothing here. */
SNAP_API int32_t snap_index_parent(snap_image* parent, const struct snap_restore_options* options, snap_parent_pages** pages,
                                   struct snap_error* error);
/* No writer may be using it. NULL is allowed. */
SNAP_API void snap_free_parent_pages(snap_parent_pages* pages);

/* A snapshot being made, front to back. After an error every later call answers that error. */
typedef struct snap_writer snap_writer;

enum { SNAP_CODEC_STORE = 0, SNAP_CODEC_LZ4 = 1, SNAP_CODEC_ZSTD = 2 };
#define SNAP_LEVEL_DEFAULT (-1000)

struct snap_writer_options {
  uint32_t struct_size;
  uint32_t block_size;  /* a power of two, 16 KiB to 4 MiB */
  uint32_t codec;       /* SNAP_CODEC_* */
  int32_t level;        /* lz4: 1 fast, -1 to -100 faster, 2 to 12 HC; zstd: 1 to 22 and the negative ones; SNAP_LEVEL_DEFAULT */
  uint32_t dedup;       /* 1: a page that was stored before is stored as a copy */
  uint32_t threads;     /* worker threads; 0: all work in the calling thread */
  int32_t spool_dir_fd; /* directory for the spool file of SNAP_ANY_ORDER; -1: /var/tmp */
  uint32_t reserved;    /* 0 */
  snap_image* parent;   /* the snapshot becomes a difference against this one, which stays open until the writer is freed; or NULL */
  const char* parent_hint;               /* the parent's file name without any directory, or NULL */
  const snap_parent_pages* parent_pages; /* of that parent, or NULL: pages that moved are not looked for */
};
#define SNAP_WRITER_OPTIONS_INIT \
  { sizeof(struct snap_writer_options), 65536u, SNAP_CODEC_ZSTD, SNAP_LEVEL_DEFAULT, 1u, 0u, -1, 0u, NULL, NULL, NULL }

/* A sink of one's own. `write` takes all bytes and returns 0, or returns an errno; called in order, never twice at a time. */
struct snap_sink {
  uint32_t struct_size;
  uint32_t reserved; /* 0 */
  void* opaque;      /* handed back */
  int (*write)(void* opaque, const void* bytes, size_t length);
};

/* Writes to `fd` (a file, pipe or socket) where it stands. The file stays the caller's, who syncs and names it. */
SNAP_API int32_t snap_create_writer_fd(int fd, const struct snap_writer_options* options, snap_writer** writer,
                                       struct snap_error* error);
SNAP_API int32_t snap_create_writer_sink(const struct snap_sink* sink, const struct snap_writer_options* options,
                                         snap_writer** writer, struct snap_error* error);
/* Whether finished or not; what was written of an unfinished snapshot is no snapshot. NULL is allowed. */
SNAP_API void snap_free_writer(snap_writer* writer);

/* Between regions only. Keys: a-z 0-9 . _ - / ; values: UTF-8. The last value of a key counts. */
SNAP_API int32_t snap_set_metadata(snap_writer* writer, const char* key, const char* value, struct snap_error* error);

enum {
  SNAP_ASCENDING = 0, /* bytes come in order: snap_write_bytes(), snap_skip_bytes() */
  SNAP_ANY_ORDER = 1  /* bytes come in any order and repeatedly, the last ones count: snap_write_bytes_at() */
};

/* Regions are written one after another. With SNAP_UNKNOWN_SIZE, snap_end_region() settles the size. *info is copied. */
SNAP_API int32_t snap_begin_region(snap_writer* writer, const struct snap_region* info, uint32_t order, struct snap_error* error);
/* The next bytes of the region. They are copied. */
SNAP_API int32_t snap_write_bytes(snap_writer* writer, const void* bytes, size_t length, struct snap_error* error);
/* The next `length` bytes of the region are zero. */
SNAP_API int32_t snap_skip_bytes(snap_writer* writer, uint64_t length, struct snap_error* error);
/* Bytes at a place of the region, again or not. What is never written is zero. */
SNAP_API int32_t snap_write_bytes_at(snap_writer* writer, uint64_t offset, const void* bytes, size_t length,
                                     struct snap_error* error);
/* With a size announced, bytes missing at the end are an error with SNAP_ASCENDING, and zero with SNAP_ANY_ORDER. */
SNAP_API int32_t snap_end_region(snap_writer* writer, struct snap_error* error);
/* Writes the rest; *digest (may be NULL) is the snapshot's. Nothing is synced. */
SNAP_API int32_t snap_finish_writer(snap_writer* writer, struct snap_digest* digest, struct snap_error* error);

/* ---- Checking ---- */

enum {
  SNAP_DAMAGE_HEADER = 0,
  SNAP_DAMAGE_RECORD = 1,  /* a record is damaged or not legal */
  SNAP_DAMAGE_BLOCK = 2,   /* a block's data is lost */
  SNAP_DAMAGE_INDEX = 3,   /* part of the index: can be made again */
  SNAP_DAMAGE_TRAILER = 4, /* missing or damaged: can be made again */
  SNAP_DAMAGE_GAP = 5,     /* bytes that belong to no record, or records missing */
  SNAP_DAMAGE_CONTENT = 6, /* all checks fit, but the content does not give the digest recorded */
  SNAP_DAMAGE_PARENT = 7   /* not this file's: the parent cannot give what is needed of it; see error->ancestor */
};

struct snap_check_options {
  uint32_t struct_size;
  uint32_t threads; /* worker threads; 0: all work in the calling thread */
  snap_job* job;    /* or NULL */
  void* opaque;     /* handed to the two functions, which may be NULL; both are called in the calling thread */
  void (*on_damage)(void* opaque, uint32_t damage_kind, const struct snap_error* error); /* in file order, 10000 at most */
  void (*on_lost)(void* opaque, const char* region, uint64_t offset, uint64_t length);   /* bytes that cannot be given back */
  snap_image* parent; /* of a snapshot that is a difference; without it the content is not compared with its digests */
};
#define SNAP_CHECK_OPTIONS_INIT \
  { sizeof(struct snap_check_options), 0u, NULL, NULL, NULL, NULL, NULL }

struct snap_check_result {
  uint32_t struct_size;
  uint32_t complete;     /* 1: nothing is missing at the end of the file */
  uint32_t repairable;   /* 1: nothing is lost, only what can be made again is damaged */
  uint32_t region_count; /* as found */
  uint64_t damage_count; /* 0: the file is as its writer wrote it */
  uint64_t lost_bytes;
  uint64_t file_bytes;
  uint64_t blocks_checked;
  struct snap_digest digest; /* of the content found; meaningful where nothing is lost */
  uint32_t content_compared; /* 1: the content gave the digests recorded; 0 e.g. for want of the parent */
  uint32_t reserved;
};
#define SNAP_CHECK_RESULT_INIT                                      \
  {                                                                 \
    sizeof(struct snap_check_result), 0u, 0u, 0u, 0u, 0u, 0u, 0u, { \
      { 0u }                                                        \
    },                                                              \
        0u, 0u                                                      \
  }

/*
 * Reads a whole file and goes on past every fault. SNAP_OK says that the check was made: damage_count says what it found.
 * An error only where the file cannot be read or is no snapshot.
 */
SNAP_API int32_t snap_check_fd(int fd, const struct snap_check_options* options, struct snap_check_result* result,
                               struct snap_error* error);
SNAP_API int32_t snap_check_source(const struct snap_source* source, const struct snap_check_options* options,
                                   struct snap_check_result* result, struct snap_error* error);

#ifdef __cplusplus
}
#endif

#endif
