// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <snap/snap.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::uint64_t kRam = 300 * 4096 + 100;  // a short last page
using Bytes = std::vector<unsigned char>;

/// A file without a name.
class MemoryFile {
 public:
  MemoryFile() : fd_(memfd_create("snapshot", MFD_CLOEXEC)) {}
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  int fd() const { return fd_; }
  std::uint64_t size() const { return static_cast<std::uint64_t>(lseek(fd_, 0, SEEK_END)); }
  void flip(std::uint64_t at) const {
    unsigned char byte = 0;
    ASSERT_EQ(pread(fd_, &byte, 1, static_cast<off_t>(at)), 1);
    byte ^= 0x10;
    ASSERT_EQ(pwrite(fd_, &byte, 1, static_cast<off_t>(at)), 1);
  }

 private:
  int fd_;
};

/// Text, noise and zeros by turns of 16 pages.
Bytes make_ram() {
  std::mt19937 random(7);
  Bytes ram(kRam);
  for (std::uint64_t i = 0; i < kRam; ++i) {
    const std::uint64_t turn = i / 65536 % 3;
    if (turn == 0) ram[i] = static_cast<unsigned char>("all work and no play "[i % 21]);
    if (turn == 1) ram[i] = static_cast<unsigned char>(random());
  }
  return ram;
}

/// A snapshot with a RAM region of two placements, a state, and metadata.
void write_sample(int fd, const Bytes& ram, snap_digest* digest, std::uint32_t order = SNAP_ASCENDING) {
  const snap_placement placements[] = {{0, 0, 0x80000}, {0x100000000, 0x80000, 0x1000}};
  snap_writer* writer = nullptr;
  snap_error error;
  ASSERT_EQ(snap_create_writer_fd(fd, nullptr, &writer, &error), SNAP_OK) << error.what;
  ASSERT_EQ(snap_set_metadata(writer, "vm.name", "a guest", &error), SNAP_OK) << error.what;
  ASSERT_EQ(snap_set_metadata(writer, "a.key", "1", &error), SNAP_OK) << error.what;
  snap_region region = SNAP_REGION_INIT;
  region.name = "pc.ram";
  region.size = ram.size();
  region.placements = placements;
  region.placement_count = 2;
  ASSERT_EQ(snap_begin_region(writer, &region, order, &error), SNAP_OK) << error.what;
  if (order == SNAP_ASCENDING) {
    ASSERT_EQ(snap_write_bytes(writer, ram.data(), ram.size(), &error), SNAP_OK) << error.what;
  } else {
    const Bytes wrong(8192, 0xee);  // overwritten below
    ASSERT_EQ(snap_write_bytes_at(writer, 4096, wrong.data(), wrong.size(), &error), SNAP_OK) << error.what;
    const std::size_t half = 100 * 4096;
    ASSERT_EQ(snap_write_bytes_at(writer, half, ram.data() + half, ram.size() - half, &error), SNAP_OK) << error.what;
    ASSERT_EQ(snap_write_bytes_at(writer, 0, ram.data(), half, &error), SNAP_OK) << error.what;
  }
  ASSERT_EQ(snap_end_region(writer, &error), SNAP_OK) << error.what;
  region = SNAP_REGION_INIT;
  region.kind = SNAP_REGION_STATE;
  region.name = "cpu";
  ASSERT_EQ(snap_begin_region(writer, &region, SNAP_ASCENDING, &error), SNAP_OK) << error.what;
  ASSERT_EQ(snap_write_bytes(writer, "registers", 9, &error), SNAP_OK) << error.what;
  ASSERT_EQ(snap_end_region(writer, &error), SNAP_OK) << error.what;
  ASSERT_EQ(snap_finish_writer(writer, digest, &error), SNAP_OK) << error.what;
  snap_free_writer(writer);
}

class CImage : public ::testing::Test {
 protected:
  void SetUp() override {
    write_sample(file_.fd(), ram_, &digest_);
    ASSERT_EQ(snap_open_image_fd(file_.fd(), nullptr, &image_, &error_), SNAP_OK) << error_.what;
  }
  void TearDown() override { snap_close_image(image_); }

  const Bytes ram_ = make_ram();
  MemoryFile file_;
  snap_digest digest_{};
  snap_error error_{};
  snap_image* image_ = nullptr;
};

TEST_F(CImage, TellsWhatTheSnapshotHas) {
  EXPECT_EQ(snap_count_regions(image_), 2u);
  snap_region region = SNAP_REGION_INIT;
  ASSERT_EQ(snap_get_region(image_, 0, &region, &error_), SNAP_OK);
  EXPECT_STREQ(region.name, "pc.ram");
  EXPECT_EQ(region.kind, std::uint32_t{SNAP_REGION_MEMORY});
  EXPECT_EQ(region.size, kRam);
  EXPECT_EQ(region.guest_page_log2, 12u);
  ASSERT_EQ(region.placement_count, 2u);
  EXPECT_EQ(region.placements[1].guest_address, 0x100000000u);
  std::uint32_t number = 99;
  ASSERT_EQ(snap_find_region(image_, SNAP_REGION_STATE, "cpu", &number, &error_), SNAP_OK);
  EXPECT_EQ(number, 1u);
  EXPECT_EQ(snap_find_region(image_, SNAP_REGION_MEMORY, "cpu", &number, &error_), SNAP_E_NOT_FOUND);
  EXPECT_EQ(snap_find_region(image_, 257, "pc.ram", &number, &error_), SNAP_E_NOT_FOUND);
  EXPECT_EQ(snap_get_region(image_, 2, &region, &error_), SNAP_E_NOT_FOUND);
  EXPECT_EQ(snap_get_block_size(image_), 65536u);
  EXPECT_EQ(snap_get_file_size(image_), file_.size());
  snap_digest digest{};
  snap_get_digest(image_, &digest);
  EXPECT_EQ(std::memcmp(&digest, &digest_, sizeof digest), 0);
  ASSERT_EQ(snap_get_region_digest(image_, 0, &digest, &error_), SNAP_OK);
  EXPECT_NE(std::memcmp(&digest, &digest_, sizeof digest), 0);
}

TEST_F(CImage, VisitsMetadataByAscendingKeyUntilToldToStop) {
  EXPECT_STREQ(snap_get_metadata(image_, "vm.name"), "a guest");
  EXPECT_EQ(snap_get_metadata(image_, "none"), nullptr);
  std::string seen;
  const auto visit = [](void* opaque, const char* key, const char* value) {
    *static_cast<std::string*>(opaque) += std::string(key) + "=" + value + ";";
    return 0;
  };
  EXPECT_EQ(snap_visit_metadata(image_, visit, &seen), 0);
  EXPECT_EQ(seen, "a.key=1;vm.name=a guest;");
  const auto stop = [](void*, const char*, const char*) { return 5; };
  EXPECT_EQ(snap_visit_metadata(image_, stop, nullptr), 5);
}

TEST_F(CImage, ReadsAnyRangeAndRefusesWhatIsOutside) {
  Bytes out(9000);
  ASSERT_EQ(snap_read_region(image_, 0, 61000, out.data(), out.size(), &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(std::memcmp(out.data(), ram_.data() + 61000, out.size()), 0);
  EXPECT_EQ(snap_read_region(image_, 0, kRam, nullptr, 0, &error_), SNAP_OK);
  EXPECT_EQ(snap_read_region(image_, 0, kRam - 1, out.data(), 2, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_read_region(image_, 0, UINT64_MAX, out.data(), 2, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_read_region(image_, 7, 0, out.data(), 2, &error_), SNAP_E_NOT_FOUND);
  EXPECT_EQ(snap_read_region(image_, 0, 0, nullptr, 2, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_read_region(nullptr, 0, 0, out.data(), 2, nullptr), SNAP_E_INVALID_ARGUMENT);
}

TEST_F(CImage, ReadsABatch) {
  Bytes first(5000), second(3), third(4096);
  const snap_read reads[] = {{0, 0, 4000, first.data(), first.size()},
                             {1, 0, 2, second.data(), second.size()},
                             {0, 0, 250 * 4096, third.data(), third.size()}};
  ASSERT_EQ(snap_read_batch(image_, reads, 3, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(std::memcmp(first.data(), ram_.data() + 4000, first.size()), 0);
  EXPECT_EQ(std::memcmp(second.data(), "gis", 3), 0);
  EXPECT_EQ(std::memcmp(third.data(), ram_.data() + 250 * 4096, third.size()), 0);
  const snap_read reserved{0, 1, 0, first.data(), 1};
  EXPECT_EQ(snap_read_batch(image_, &reserved, 1, &error_), SNAP_E_INVALID_ARGUMENT);
}

TEST_F(CImage, ReadsFromManyThreads) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      Bytes out(4096);
      for (int i = 0; i < 200; ++i) {
        const std::uint64_t at = random() % (kRam - out.size());
        if (snap_read_region(image_, 0, at, out.data(), out.size(), nullptr) != SNAP_OK ||
            std::memcmp(out.data(), ram_.data() + at, out.size()) != 0)
          ++wrong;
      }
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(CImage, TellsDataFromZeros) {
  snap_extent extent{};
  ASSERT_EQ(snap_get_extent(image_, 0, 0, &extent, &error_), SNAP_OK);
  EXPECT_EQ(extent.has_data, 1u);
  EXPECT_EQ(extent.offset, 0u);
  EXPECT_EQ(extent.length, 131072u);
  ASSERT_EQ(snap_get_extent(image_, 0, 131072, &extent, &error_), SNAP_OK);
  EXPECT_EQ(extent.has_data, 0u);
  EXPECT_EQ(extent.length, 65536u);
}

TEST_F(CImage, RestoresToMemoryAndToAFile) {
  snap_restore_options options = SNAP_RESTORE_OPTIONS_INIT;
  options.threads = 2;
  options.job = snap_new_job();
  Bytes memory(kRam, 0xcc);
  ASSERT_EQ(snap_restore_memory(image_, 0, memory.data(), memory.size(), &options, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(memory, ram_);
  EXPECT_EQ((snap_get_progress(options.job) + 4095) / 4096, 301u);
  snap_free_job(options.job);
  EXPECT_EQ(snap_restore_memory(image_, 0, memory.data(), memory.size() - 1, nullptr, &error_), SNAP_E_INVALID_ARGUMENT);

  MemoryFile target;
  ASSERT_EQ(snap_restore_fd(image_, 0, target.fd(), 512, nullptr, &error_), SNAP_OK) << error_.what;
  Bytes back(kRam);
  ASSERT_EQ(pread(target.fd(), back.data(), back.size(), 512), static_cast<ssize_t>(kRam));
  EXPECT_EQ(back, ram_);
}

TEST_F(CImage, CancelsARestore) {
  snap_restore_options options = SNAP_RESTORE_OPTIONS_INIT;
  options.job = snap_new_job();
  snap_cancel_job(options.job);
  Bytes memory(kRam);
  EXPECT_EQ(snap_restore_memory(image_, 0, memory.data(), memory.size(), &options, &error_), SNAP_E_CANCELLED);
  snap_free_job(options.job);
}

TEST_F(CImage, UsesIoUringWhereAsked) {
  snap_open_options options = SNAP_OPEN_OPTIONS_INIT;
  options.use_io_uring = 1;
  options.cache_bytes = 0;
  snap_image* image = nullptr;
  ASSERT_EQ(snap_open_image_fd(file_.fd(), &options, &image, &error_), SNAP_OK) << error_.what;
  Bytes out(ram_.size());
  EXPECT_EQ(snap_read_region(image, 0, 0, out.data(), out.size(), &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(out, ram_);
  snap_close_image(image);
}

TEST(CWriter, TakesBytesInAnyOrderTheLastOnesCount) {
  const Bytes ram = make_ram();
  MemoryFile ordered, shuffled;
  snap_digest one{}, other{};
  write_sample(ordered.fd(), ram, &one);
  write_sample(shuffled.fd(), ram, &other, SNAP_ANY_ORDER);
  EXPECT_EQ(std::memcmp(&one, &other, sizeof one), 0);
}

TEST(CWriter, RefusesBadArguments) {
  snap_error error{};
  snap_writer* writer = nullptr;
  MemoryFile file;
  snap_writer_options options = SNAP_WRITER_OPTIONS_INIT;
  options.codec = 256;  // would be 0 in a byte
  EXPECT_EQ(snap_create_writer_fd(file.fd(), &options, &writer, &error), SNAP_E_INVALID_ARGUMENT);
  options = SNAP_WRITER_OPTIONS_INIT;
  options.block_size = 5000;
  EXPECT_EQ(snap_create_writer_fd(file.fd(), &options, &writer, &error), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(writer, nullptr);
  options = SNAP_WRITER_OPTIONS_INIT;
  options.reserved = 1;
  EXPECT_EQ(snap_create_writer_fd(file.fd(), &options, &writer, &error), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_create_writer_sink(nullptr, nullptr, &writer, &error), SNAP_E_INVALID_ARGUMENT);

  ASSERT_EQ(snap_create_writer_fd(file.fd(), nullptr, &writer, &error), SNAP_OK);
  snap_region region = SNAP_REGION_INIT;
  EXPECT_EQ(snap_begin_region(writer, &region, SNAP_ASCENDING, &error), SNAP_E_INVALID_ARGUMENT) << "no name";
  region.name = "ram";
  EXPECT_EQ(snap_begin_region(writer, &region, 2, &error), SNAP_E_INVALID_ARGUMENT) << "no such order";
  region.kind = 258;
  EXPECT_EQ(snap_begin_region(writer, &region, SNAP_ASCENDING, &error), SNAP_E_INVALID_ARGUMENT) << "no such kind";
  snap_free_writer(writer);
}

TEST(CWriter, GivesASinksErrnoBack) {
  snap_sink sink{sizeof sink, 0, nullptr, [](void*, const void*, std::size_t) { return ENOSPC; }};
  snap_writer* writer = nullptr;
  snap_error error{};
  ASSERT_EQ(snap_create_writer_sink(&sink, nullptr, &writer, &error), SNAP_OK);
  EXPECT_EQ(snap_finish_writer(writer, nullptr, &error), SNAP_E_IO);
  EXPECT_EQ(error.sys_errno, ENOSPC);
  EXPECT_EQ(error.code, SNAP_E_IO);
  snap_free_writer(writer);
}

TEST(CSource, GivesASourcesErrnoBack) {
  snap_source source{sizeof source, 0, nullptr,
                     [](void*, std::uint64_t* size) {
                       *size = 1 << 20;
                       return 0;
                     },
                     [](void*, std::uint64_t, void*, std::size_t, std::size_t*) { return EREMOTEIO; }};
  snap_image* image = nullptr;
  snap_error error{};
  EXPECT_EQ(snap_open_image_source(&source, nullptr, &image, &error), SNAP_E_IO);
  EXPECT_EQ(error.sys_errno, EREMOTEIO);
  EXPECT_EQ(image, nullptr);
  source.read_at = nullptr;
  EXPECT_EQ(snap_open_image_source(&source, nullptr, &image, &error), SNAP_E_INVALID_ARGUMENT);
}

TEST(CSource, IsNotBelievedWhenItReadsMoreThanAsked) {
  snap_source source{sizeof source, 0, nullptr,
                     [](void*, std::uint64_t* size) {
                       *size = 1 << 20;
                       return 0;
                     },
                     [](void*, std::uint64_t, void*, std::size_t length, std::size_t* done) {
                       *done = length + 1;
                       return 0;
                     }};
  snap_image* image = nullptr;
  EXPECT_EQ(snap_open_image_source(&source, nullptr, &image, nullptr), SNAP_E_IO);
}

TEST(COptions, OfANewerHeaderAreTakenWhereWhatIsNewIsZero) {
  struct Newer {
    snap_open_options known = SNAP_OPEN_OPTIONS_INIT;
    std::uint64_t unknown = 0;
  } options;
  options.known.struct_size = sizeof options;
  MemoryFile file;
  snap_digest digest{};
  write_sample(file.fd(), make_ram(), &digest);
  snap_image* image = nullptr;
  snap_error error{};
  ASSERT_EQ(snap_open_image_fd(file.fd(), &options.known, &image, &error), SNAP_OK) << error.what;
  snap_close_image(image);
  options.unknown = 1;
  EXPECT_EQ(snap_open_image_fd(file.fd(), &options.known, &image, &error), SNAP_E_UNSUPPORTED);
  EXPECT_EQ(image, nullptr);
  options.known.struct_size = 4;
  EXPECT_EQ(snap_open_image_fd(file.fd(), &options.known, &image, &error), SNAP_E_INVALID_ARGUMENT);
}

TEST(CErrors, HaveNamesAndNeverANullCause) {
  EXPECT_STRNE(snap_name_code(SNAP_E_CORRUPT), "unknown");
  EXPECT_STREQ(snap_name_code(12345), "unknown");
  EXPECT_NE(std::string(snap_get_version()), "");
  snap_error error{};
  snap_image* image = nullptr;
  EXPECT_EQ(snap_open_image_fd(-1, nullptr, &image, &error), SNAP_E_IO);
  EXPECT_EQ(error.sys_errno, EBADF);
  EXPECT_NE(error.what, nullptr);
  MemoryFile empty;
  EXPECT_NE(snap_open_image_fd(empty.fd(), nullptr, &image, &error), SNAP_OK);
  EXPECT_STRNE(error.what, "");
  snap_close_image(nullptr);
  snap_free_writer(nullptr);
  snap_free_job(nullptr);
}

struct Findings {
  int damages = 0;
  std::uint64_t lost_bytes = 0;
  std::string region;
};

TEST(CCheck, ReportsADamagedBlockAndWhatIsLost) {
  MemoryFile file;
  snap_digest digest{};
  write_sample(file.fd(), make_ram(), &digest);
  Findings findings;
  snap_check_options options = SNAP_CHECK_OPTIONS_INIT;
  options.opaque = &findings;
  options.on_damage = [](void* opaque, std::uint32_t, const snap_error* error) {
    ++static_cast<Findings*>(opaque)->damages;
    EXPECT_NE(error->code, SNAP_OK);
  };
  options.on_lost = [](void* opaque, const char* region, std::uint64_t, std::uint64_t length) {
    static_cast<Findings*>(opaque)->region = region;
    static_cast<Findings*>(opaque)->lost_bytes += length;
  };
  snap_check_result result = SNAP_CHECK_RESULT_INIT;
  snap_error error{};
  ASSERT_EQ(snap_check_fd(file.fd(), &options, &result, &error), SNAP_OK) << error.what;
  EXPECT_EQ(result.damage_count, 0u);
  EXPECT_EQ(result.complete, 1u);
  EXPECT_EQ(result.region_count, 2u);
  EXPECT_EQ(result.file_bytes, file.size());
  EXPECT_EQ(std::memcmp(&result.digest, &digest, sizeof digest), 0);
  EXPECT_EQ(findings.damages, 0);

  file.flip(file.size() / 2);  // inside the noise, which is most of the file
  ASSERT_EQ(snap_check_fd(file.fd(), &options, &result, &error), SNAP_OK) << error.what;
  EXPECT_GE(result.damage_count, 1u);
  EXPECT_EQ(static_cast<std::uint64_t>(findings.damages), result.damage_count);
  EXPECT_EQ(findings.region, "pc.ram");
  EXPECT_EQ(findings.lost_bytes, 65536u);
  EXPECT_EQ(result.lost_bytes, 65536u);
  EXPECT_EQ(result.repairable, 0u);
  EXPECT_EQ(snap_check_fd(file.fd(), &options, nullptr, &error), SNAP_E_INVALID_ARGUMENT);
}

// ---- Parents ----

/// A base of one region and a child of it, both in files.
class CChild : public ::testing::Test {
 protected:
  void SetUp() override {
    write_ram(base_file_.fd(), base_, nullptr, nullptr);
    ASSERT_EQ(snap_open_image_fd(base_file_.fd(), nullptr, &parent_, &error_), SNAP_OK) << error_.what;
    for (std::uint64_t at = 0; at < 20; ++at) ram_[(at * 13 % 300) * 4096 + at] ^= 0x77;
    std::memset(ram_.data() + 16 * 4096, 0, 4096);  // was noise
    std::memcpy(ram_.data() + 40 * 4096, base_.data() + 20 * 4096, 4096);
    ASSERT_EQ(snap_index_parent(parent_, nullptr, &pages_, &error_), SNAP_OK) << error_.what;
    write_ram(file_.fd(), ram_, parent_, pages_);
    open_options_.parent = parent_;
    ASSERT_EQ(snap_open_image_fd(file_.fd(), &open_options_, &image_, &error_), SNAP_OK) << error_.what;
  }
  void TearDown() override {
    snap_close_image(image_);
    snap_free_parent_pages(pages_);
    snap_close_image(parent_);
  }

  static void write_ram(int fd, const Bytes& ram, snap_image* parent, const snap_parent_pages* pages) {
    snap_writer_options options = SNAP_WRITER_OPTIONS_INIT;
    options.parent = parent;
    options.parent_pages = pages;
    if (parent != nullptr) options.parent_hint = "base.vmsnap";
    snap_writer* writer = nullptr;
    snap_error error;
    ASSERT_EQ(snap_create_writer_fd(fd, &options, &writer, &error), SNAP_OK) << error.what;
    snap_region region = SNAP_REGION_INIT;
    region.name = "pc.ram";
    region.size = ram.size();
    ASSERT_EQ(snap_begin_region(writer, &region, SNAP_ASCENDING, &error), SNAP_OK) << error.what;
    ASSERT_EQ(snap_write_bytes(writer, ram.data(), ram.size(), &error), SNAP_OK) << error.what;
    ASSERT_EQ(snap_end_region(writer, &error), SNAP_OK) << error.what;
    region = SNAP_REGION_INIT;
    region.kind = SNAP_REGION_STATE;
    region.name = "cpu";
    ASSERT_EQ(snap_begin_region(writer, &region, SNAP_ASCENDING, &error), SNAP_OK) << error.what;
    ASSERT_EQ(snap_write_bytes(writer, "registers", 9, &error), SNAP_OK) << error.what;
    ASSERT_EQ(snap_end_region(writer, &error), SNAP_OK) << error.what;
    ASSERT_EQ(snap_finish_writer(writer, nullptr, &error), SNAP_OK) << error.what;
    snap_free_writer(writer);
  }

  Bytes base_ = make_ram();
  Bytes ram_ = base_;
  MemoryFile base_file_;
  MemoryFile file_;
  snap_error error_{};
  snap_image* parent_ = nullptr;
  snap_parent_pages* pages_ = nullptr;
  snap_image* image_ = nullptr;
  snap_open_options open_options_ = SNAP_OPEN_OPTIONS_INIT;
};

TEST_F(CChild, IsSmallAndReadsAsAWhole) {
  EXPECT_LT(file_.size(), base_file_.size() / 4);
  Bytes out(ram_.size());
  ASSERT_EQ(snap_read_region(image_, 0, 0, out.data(), out.size(), &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(out, ram_);
  snap_restore_options options = SNAP_RESTORE_OPTIONS_INIT;
  options.threads = 2;
  std::fill(out.begin(), out.end(), static_cast<unsigned char>(0xee));
  ASSERT_EQ(snap_restore_memory(image_, 0, out.data(), out.size(), &options, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(out, ram_);
}

TEST_F(CChild, TellsItsParentBeforeItIsOpened) {
  snap_parent parent = SNAP_PARENT_INIT;
  ASSERT_EQ(snap_read_parent_fd(file_.fd(), &parent, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(parent.has_parent, 1u);
  EXPECT_EQ(parent.depth, 1u);
  EXPECT_STREQ(parent.hint, "base.vmsnap");
  snap_digest digest{};
  snap_get_digest(parent_, &digest);
  EXPECT_EQ(std::memcmp(&parent.parent, &digest, sizeof digest), 0);
  snap_get_digest(image_, &digest);
  EXPECT_EQ(std::memcmp(&parent.digest, &digest, sizeof digest), 0);
  ASSERT_EQ(snap_read_parent_fd(base_file_.fd(), &parent, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(parent.has_parent, 0u);
  EXPECT_EQ(parent.depth, 0u);
  EXPECT_STREQ(parent.hint, "");

  const snap_source source{sizeof source, 0, &file_,
                           [](void* file, std::uint64_t* size) {
                             *size = static_cast<MemoryFile*>(file)->size();
                             return 0;
                           },
                           [](void* file, std::uint64_t offset, void* buffer, std::size_t length, std::size_t* done) {
                             const ssize_t got = pread(static_cast<MemoryFile*>(file)->fd(), buffer, length, static_cast<off_t>(offset));
                             if (got < 0) return errno;
                             *done = static_cast<std::size_t>(got);
                             return 0;
                           }};
  ASSERT_EQ(snap_read_parent_source(&source, &parent, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(parent.has_parent, 1u);
  EXPECT_EQ(snap_read_parent_source(nullptr, &parent, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_read_parent_fd(file_.fd(), nullptr, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_read_parent_fd(-1, &parent, &error_), SNAP_E_IO);
  parent.struct_size = 8;
  EXPECT_EQ(snap_read_parent_fd(file_.fd(), &parent, &error_), SNAP_E_INVALID_ARGUMENT);
}

TEST_F(CChild, IsRefusedWithoutItsParentOrWithAnother) {
  snap_image* image = nullptr;
  EXPECT_EQ(snap_open_image_fd(file_.fd(), nullptr, &image, &error_), SNAP_E_PARENT_MISMATCH);
  EXPECT_EQ(image, nullptr);
  EXPECT_EQ(snap_open_image_fd(base_file_.fd(), &open_options_, &image, &error_), SNAP_E_PARENT_MISMATCH);
  snap_open_options wrong = SNAP_OPEN_OPTIONS_INIT;
  wrong.parent = image_;
  EXPECT_EQ(snap_open_image_fd(file_.fd(), &wrong, &image, &error_), SNAP_E_PARENT_MISMATCH);
  snap_check_options check = SNAP_CHECK_OPTIONS_INIT;
  check.parent = image_;
  snap_check_result result = SNAP_CHECK_RESULT_INIT;
  EXPECT_EQ(snap_check_fd(file_.fd(), &check, &result, &error_), SNAP_E_PARENT_MISMATCH);
}

TEST_F(CChild, IsAppliedOverWhatAHeldParentMaps) {
  snap_restore_options options = SNAP_RESTORE_OPTIONS_INIT;
  options.threads = 2;
  snap_image* held = nullptr;
  ASSERT_EQ(snap_hold_image(parent_, &options, &held, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(snap_count_regions(held), 2u);
  EXPECT_EQ(snap_get_memory_fd(held, 1), -1) << "a state is not held";
  EXPECT_EQ(snap_get_memory_fd(held, 2), -1);
  EXPECT_EQ(snap_get_memory_fd(parent_, 0), -1) << "not held";
  EXPECT_EQ(snap_get_memory_fd(nullptr, 0), -1);
  const int fd = snap_get_memory_fd(held, 0);
  ASSERT_GE(fd, 0);
  unsigned char byte = 1;
  EXPECT_EQ(pwrite(fd, &byte, 1, 0), -1) << "it is sealed";
  void* const memory = mmap(nullptr, kRam, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  ASSERT_NE(memory, MAP_FAILED);
  EXPECT_EQ(std::memcmp(memory, base_.data(), kRam), 0);
  ASSERT_EQ(snap_apply_changes(image_, 0, memory, kRam, &options, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(std::memcmp(memory, ram_.data(), kRam), 0);
  munmap(memory, kRam);

  // The same child over the held parent.
  snap_open_options over = SNAP_OPEN_OPTIONS_INIT;
  over.parent = held;
  snap_image* image = nullptr;
  ASSERT_EQ(snap_open_image_fd(file_.fd(), &over, &image, &error_), SNAP_OK) << error_.what;
  Bytes out(ram_.size());
  ASSERT_EQ(snap_read_region(image, 0, 0, out.data(), out.size(), &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(out, ram_);
  char registers[9];
  ASSERT_EQ(snap_read_region(image, 1, 0, registers, sizeof registers, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(std::memcmp(registers, "registers", 9), 0);
  snap_close_image(image);
  // And written against it: the same file.
  MemoryFile again;
  write_ram(again.fd(), ram_, held, pages_);
  EXPECT_EQ(again.size(), file_.size());
  snap_close_image(held);

  Bytes small(10);
  EXPECT_EQ(snap_apply_changes(image_, 0, small.data(), small.size(), nullptr, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_apply_changes(image_, 7, small.data(), small.size(), nullptr, &error_), SNAP_E_NOT_FOUND);
  EXPECT_EQ(snap_apply_changes(image_, 0, nullptr, kRam, nullptr, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_apply_changes(parent_, 0, out.data(), out.size(), nullptr, &error_), SNAP_E_INVALID_ARGUMENT) << "it has no parent";
  EXPECT_EQ(snap_apply_changes(nullptr, 0, out.data(), out.size(), nullptr, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_hold_image(nullptr, nullptr, &held, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_hold_image(parent_, nullptr, nullptr, &error_), SNAP_E_INVALID_ARGUMENT);
}

TEST_F(CChild, LongCallsAreCancelled) {
  snap_job* const job = snap_new_job();
  snap_restore_options options = SNAP_RESTORE_OPTIONS_INIT;
  options.job = job;
  snap_cancel_job(job);
  snap_image* held = nullptr;
  EXPECT_EQ(snap_hold_image(parent_, &options, &held, &error_), SNAP_E_CANCELLED);
  EXPECT_EQ(held, nullptr);
  Bytes memory = base_;
  EXPECT_EQ(snap_apply_changes(image_, 0, memory.data(), memory.size(), &options, &error_), SNAP_E_CANCELLED);
  snap_parent_pages* pages = nullptr;
  EXPECT_EQ(snap_index_parent(parent_, &options, &pages, &error_), SNAP_E_CANCELLED);
  EXPECT_EQ(pages, nullptr);
  snap_free_job(job);
  snap_free_parent_pages(nullptr);
}

TEST_F(CChild, VisitsItsChanges) {
  struct Seen {
    Bytes pages = Bytes(301);
    int calls = 0;
    int most = 1000;
  } seen;
  const auto visit = [](void* opaque, std::uint64_t offset, std::uint64_t length, std::uint32_t zero) {
    auto& to = *static_cast<Seen*>(opaque);
    for (std::uint64_t at = offset; at < offset + length; at += 4096) to.pages[at / 4096] = static_cast<unsigned char>(1 + zero);
    return ++to.calls == to.most ? 1 : 0;
  };
  ASSERT_EQ(snap_visit_changes(image_, 0, visit, &seen, &error_), SNAP_OK) << error_.what;
  for (std::size_t page = 0; page <= 300; ++page) {
    const std::size_t bytes = std::min<std::size_t>(4096, kRam - page * 4096);
    EXPECT_EQ(seen.pages[page] != 0, std::memcmp(ram_.data() + page * 4096, base_.data() + page * 4096, bytes) != 0) << page;
  }
  EXPECT_EQ(seen.pages[16], 2) << "it became zero";
  Seen first;
  first.most = 1;
  EXPECT_EQ(snap_visit_changes(image_, 0, visit, &first, &error_), SNAP_E_CANCELLED);
  EXPECT_EQ(first.calls, 1);
  Seen none;
  EXPECT_EQ(snap_visit_changes(image_, 1, visit, &none, &error_), SNAP_OK);
  EXPECT_EQ(none.calls, 0);
  EXPECT_EQ(snap_visit_changes(image_, 2, visit, &none, &error_), SNAP_E_NOT_FOUND);
  EXPECT_EQ(snap_visit_changes(image_, 0, nullptr, &none, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_visit_changes(nullptr, 0, visit, &none, &error_), SNAP_E_INVALID_ARGUMENT);
}

TEST_F(CChild, IsCheckedWithItsParentAndWithout) {
  snap_check_options options = SNAP_CHECK_OPTIONS_INIT;
  snap_check_result result = SNAP_CHECK_RESULT_INIT;
  ASSERT_EQ(snap_check_fd(file_.fd(), &options, &result, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(result.damage_count, 0u);
  EXPECT_EQ(result.content_compared, 0u);
  options.parent = parent_;
  ASSERT_EQ(snap_check_fd(file_.fd(), &options, &result, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(result.damage_count, 0u);
  EXPECT_EQ(result.content_compared, 1u);
  // Half of the parent is lost: the damage is told as the parent's.
  for (std::uint64_t at = base_file_.size() / 4; at < base_file_.size() * 3 / 4; at += 3000) base_file_.flip(at);
  options.opaque = &error_;
  options.on_damage = [](void*, std::uint32_t kind, const snap_error* error) {
    EXPECT_EQ(kind, std::uint32_t{SNAP_DAMAGE_PARENT});
    EXPECT_EQ(error->ancestor, 1u);
  };
  snap_open_options cold = SNAP_OPEN_OPTIONS_INIT;
  ASSERT_EQ(snap_open_image_fd(base_file_.fd(), &cold, &options.parent, &error_), SNAP_OK) << error_.what;
  ASSERT_EQ(snap_check_fd(file_.fd(), &options, &result, &error_), SNAP_OK) << error_.what;
  EXPECT_GT(result.damage_count, 0u);
  EXPECT_EQ(result.content_compared, 0u);
  EXPECT_EQ(result.lost_bytes, 0u);
  snap_close_image(options.parent);
}

TEST_F(CChild, WriterOptionsAreRefusedWhereTheyAreWrong) {
  snap_writer_options options = SNAP_WRITER_OPTIONS_INIT;
  options.parent = parent_;
  snap_writer* writer = nullptr;
  MemoryFile out;
  const std::string long_hint(256, 'h');
  for (const char* hint : {"a/b", ".", "..", "/", long_hint.c_str()}) {
    options.parent_hint = hint;
    EXPECT_EQ(snap_create_writer_fd(out.fd(), &options, &writer, &error_), SNAP_E_INVALID_ARGUMENT) << hint;
  }
  options.parent_hint = long_hint.c_str() + 1;
  EXPECT_EQ(snap_create_writer_fd(out.fd(), &options, &writer, &error_), SNAP_OK) << error_.what;
  snap_free_writer(writer);
  // Pages of another parent would be named in this one.
  options.parent_hint = nullptr;
  options.parent = image_;
  options.parent_pages = pages_;
  EXPECT_EQ(snap_create_writer_fd(out.fd(), &options, &writer, &error_), SNAP_E_INVALID_ARGUMENT);
  snap_parent_pages* pages = nullptr;
  EXPECT_EQ(snap_index_parent(nullptr, nullptr, &pages, &error_), SNAP_E_INVALID_ARGUMENT);
  EXPECT_EQ(snap_index_parent(parent_, nullptr, nullptr, &error_), SNAP_E_INVALID_ARGUMENT);
}

// The structs of the first version end before the parent: they are taken, and what stands behind them is not looked at.
TEST_F(CChild, TheFirstVersionsStructsAreTaken) {
  snap_image* const rubbish = reinterpret_cast<snap_image*>(1);
  snap_open_options open = SNAP_OPEN_OPTIONS_INIT;
  open.struct_size = offsetof(snap_open_options, parent);
  open.parent = rubbish;
  snap_image* image = nullptr;
  ASSERT_EQ(snap_open_image_fd(base_file_.fd(), &open, &image, &error_), SNAP_OK) << error_.what;
  snap_close_image(image);
  EXPECT_EQ(snap_open_image_fd(file_.fd(), &open, &image, &error_), SNAP_E_PARENT_MISMATCH);
  open.struct_size -= 1;
  EXPECT_EQ(snap_open_image_fd(base_file_.fd(), &open, &image, &error_), SNAP_E_INVALID_ARGUMENT);

  snap_writer_options options = SNAP_WRITER_OPTIONS_INIT;
  options.struct_size = offsetof(snap_writer_options, parent);
  options.parent = rubbish;
  options.parent_hint = "..";
  snap_writer* writer = nullptr;
  MemoryFile out;
  ASSERT_EQ(snap_create_writer_fd(out.fd(), &options, &writer, &error_), SNAP_OK) << error_.what;
  ASSERT_EQ(snap_finish_writer(writer, nullptr, &error_), SNAP_OK) << error_.what;
  snap_free_writer(writer);
  snap_parent parent = SNAP_PARENT_INIT;
  ASSERT_EQ(snap_read_parent_fd(out.fd(), &parent, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(parent.has_parent, 0u);

  snap_check_options check = SNAP_CHECK_OPTIONS_INIT;
  check.struct_size = offsetof(snap_check_options, parent);
  check.parent = rubbish;
  snap_check_result result = SNAP_CHECK_RESULT_INIT;
  result.struct_size = offsetof(snap_check_result, content_compared);
  result.content_compared = 77;
  ASSERT_EQ(snap_check_fd(file_.fd(), &check, &result, &error_), SNAP_OK) << error_.what;
  EXPECT_EQ(result.damage_count, 0u);
  EXPECT_EQ(result.content_compared, 77u) << "written past the struct";
  result.struct_size -= 1;
  EXPECT_EQ(snap_check_fd(file_.fd(), &check, &result, &error_), SNAP_E_INVALID_ARGUMENT);
}

}  // namespace
