/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled as strict C99, with the header first and alone: a C program's view. Called by c_abi_test.cpp. */
#include <snap/snap.h>
/* then what the test needs */
#include <string.h>

int c_abi_steps(void);

struct pipe_like {
  unsigned char bytes[65536];
  size_t length;
};

static int append(void* opaque, const void* bytes, size_t length) {
  struct pipe_like* to = opaque;
  if (length > sizeof to->bytes - to->length) return 28; /* ENOSPC on Linux */
  memcpy(to->bytes + to->length, bytes, length);
  to->length += length;
  return 0;
}

static int get_size(void* opaque, uint64_t* size) {
  *size = ((struct pipe_like*)opaque)->length;
  return 0;
}

static int read_at(void* opaque, uint64_t offset, void* buffer, size_t length, size_t* done) {
  const struct pipe_like* from = opaque;
  *done = 0;
  if (offset >= from->length) return 0;
  *done = length < from->length - offset ? length : from->length - offset;
  memcpy(buffer, from->bytes + offset, *done);
  return 0;
}

static struct pipe_like file;

static int write_one(struct snap_digest* digest) {
  static const unsigned char page[SNAP_PAGE_SIZE] = {1, 2, 3};
  struct snap_sink sink = {sizeof sink, 0, NULL, append};
  struct snap_writer_options options = SNAP_WRITER_OPTIONS_INIT;
  struct snap_region region = SNAP_REGION_INIT;
  snap_writer* writer;
  sink.opaque = &file;
  options.codec = SNAP_CODEC_STORE;
  options.level = 0;
  region.name = "ram";
  region.size = 3 * SNAP_PAGE_SIZE;
  if (snap_create_writer_sink(&sink, &options, &writer, NULL) != SNAP_OK) return 1;
  if (snap_set_metadata(writer, "made.by", "C", NULL) != SNAP_OK) return 2;
  if (snap_begin_region(writer, &region, SNAP_ASCENDING, NULL) != SNAP_OK) return 3;
  if (snap_skip_bytes(writer, SNAP_PAGE_SIZE, NULL) != SNAP_OK) return 4;
  if (snap_write_bytes(writer, page, sizeof page, NULL) != SNAP_OK) return 5;
  if (snap_skip_bytes(writer, SNAP_PAGE_SIZE, NULL) != SNAP_OK) return 6;
  if (snap_end_region(writer, NULL) != SNAP_OK) return 7;
  if (snap_finish_writer(writer, digest, NULL) != SNAP_OK) return 8;
  snap_free_writer(writer);
  return 0;
}

static int read_back(const struct snap_digest* written) {
  struct snap_source source = {sizeof source, 0, NULL, get_size, read_at};
  struct snap_error error;
  struct snap_digest digest;
  snap_image* image;
  uint32_t region;
  unsigned char bytes[4] = {9, 9, 9, 9};
  source.opaque = &file;
  if (snap_open_image_source(&source, NULL, &image, &error) != SNAP_OK) return 20;
  if (snap_find_region(image, SNAP_REGION_MEMORY, "ram", &region, &error) != SNAP_OK) return 21;
  if (snap_read_region(image, region, SNAP_PAGE_SIZE - 1, bytes, sizeof bytes, &error) != SNAP_OK) return 22;
  if (bytes[0] != 0 || bytes[1] != 1 || bytes[2] != 2 || bytes[3] != 3) return 23;
  snap_get_digest(image, &digest);
  if (memcmp(&digest, written, sizeof digest) != 0) return 24;
  if (strcmp(snap_get_metadata(image, "made.by"), "C") != 0) return 25;
  snap_close_image(image);
  return 0;
}

/* 0, or the number of the step that failed. */
int c_abi_steps(void) {
  struct snap_digest digest;
  const int failed = write_one(&digest);
  return failed ? failed : read_back(&digest);
}
