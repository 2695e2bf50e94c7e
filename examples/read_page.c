/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one page of a snapshot and prints it as hexadecimal:
 *
 *   read_page FILE                     lists what the snapshot has
 *   read_page FILE REGION PAGE-NUMBER  prints that page of guest memory
 *
 * Build: cc read_page.c $(pkg-config --cflags --libs vmsnap), or with the CMakeLists.txt beside this file.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <snap/snap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char* file, const struct snap_error* error) {
  fprintf(stderr, "%s: %s (%s, at byte %" PRIu64 ")", file, error->what, snap_name_code(error->code), error->file_offset);
  if (error->sys_errno != 0) fprintf(stderr, ": %s", strerror(error->sys_errno));
  fputc('\n', stderr);
  return 1;
}

static void list_regions(const snap_image* image) {
  uint32_t i;
  for (i = 0; i < snap_count_regions(image); ++i) {
    struct snap_region info = SNAP_REGION_INIT;
    if (snap_get_region(image, i, &info, NULL) != SNAP_OK) continue;
    printf("%-6s %14" PRIu64 " %s\n", info.kind == SNAP_REGION_MEMORY ? "memory" : "state", info.size, info.name);
  }
}

static void dump(const unsigned char* bytes, size_t length, uint64_t address) {
  size_t i, j;
  for (i = 0; i < length; i += 16) {
    const size_t count = length - i < 16 ? length - i : 16;
    printf("%012" PRIx64 " ", address + i);
    for (j = 0; j < 16; ++j) {
      if (j < count) {
        printf(" %02x", bytes[i + j]);
      } else {
        fputs("   ", stdout);
      }
    }
    fputs("  ", stdout);
    for (j = 0; j < count; ++j) putchar(isprint(bytes[i + j]) ? bytes[i + j] : '.');
    putchar('\n');
  }
}

static int print_page(snap_image* image, const char* file, const char* name, uint64_t page) {
  unsigned char bytes[SNAP_PAGE_SIZE];
  struct snap_region info = SNAP_REGION_INIT;
  struct snap_error error;
  uint32_t region;
  size_t length = sizeof bytes;

  if (snap_find_region(image, SNAP_REGION_MEMORY, name, &region, &error) != SNAP_OK) return fail(file, &error);
  if (snap_get_region(image, region, &info, &error) != SNAP_OK) return fail(file, &error);
  if (page > info.size / SNAP_PAGE_SIZE || page * SNAP_PAGE_SIZE == info.size) {
    fprintf(stderr, "%s: %s has %" PRIu64 " bytes, so no page %" PRIu64 "\n", file, name, info.size, page);
    return 1;
  }
  if (info.size - page * SNAP_PAGE_SIZE < length) length = (size_t)(info.size - page * SNAP_PAGE_SIZE);
  if (snap_read_region(image, region, page * SNAP_PAGE_SIZE, bytes, length, &error) != SNAP_OK) return fail(file, &error);
  dump(bytes, length, page * SNAP_PAGE_SIZE);
  return 0;
}

int main(int argc, char** argv) {
  snap_image* image;
  struct snap_error error;
  char* end = NULL;
  uint64_t page = 0;
  int fd, status = 0;

  if (argc == 4) page = strtoull(argv[3], &end, 0);
  if ((argc != 2 && argc != 4) || (argc == 4 && (end == argv[3] || *end != '\0'))) {
    fprintf(stderr, "usage: %s FILE [REGION PAGE-NUMBER]\n", argv[0]);
    return 2;
  }
  fd = open(argv[1], O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
    return 1;
  }
  if (snap_open_image_fd(fd, NULL, &image, &error) != SNAP_OK) {
    close(fd);
    return fail(argv[1], &error);
  }
  if (argc == 2) {
    list_regions(image);
  } else {
    status = print_page(image, argv[1], argv[2], page);
  }
  snap_close_image(image);
  close(fd);
  return status;
}
