// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/fail.h"
#include "chain/page_reader.h"
#include "snap/restore.h"

namespace snap {

namespace {

/// A memory file and our own view of it.
class MemoryFile {
 public:
  MemoryFile() = default;
  MemoryFile(MemoryFile&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryFile& operator=(MemoryFile&&) = delete;
  ~MemoryFile() {
    if (memory_ != nullptr) ::munmap(memory_, bytes_);
    if (fd_ >= 0) ::close(fd_);
  }

  Result<void> make(std::size_t bytes, const char* name) {
    fd_ = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd_ < 0) return io_error("cannot make a memory file");
    if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0) return io_error("cannot size a memory file", bytes);
    // A size that no memory has is refused before it is filled.
    void* const trial = bytes == 0 ? nullptr : ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd_, 0);
    if (trial == MAP_FAILED) return io_error("cannot map a memory file", bytes);
    if (trial != nullptr) ::munmap(trial, bytes);
    bytes_ = bytes;
    return {};
  }

  int fd() const { return fd_; }
  /// Once it is sealed.
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(memory_), memory_ == nullptr ? 0 : bytes_}; }

  // Nobody can change it any more, not even whoever gets the descriptor.
  Result<void> seal() {
    if (::fcntl(fd_, F_ADD_SEALS, kSeals) != 0) return io_error("cannot seal a memory file");
    return map();
  }

  /// One that was made and sealed before.
  Result<void> take(int fd, std::size_t bytes) {
    fd_ = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fd_ < 0) return io_error("cannot take a memory file");
    const int seals = ::fcntl(fd_, F_GET_SEALS);
    if (seals < 0 || (seals & kSeals) != kSeals) return invalid("a memory file that is not sealed");
    struct stat status{};
    if (::fstat(fd_, &status) != 0) return io_error("cannot tell the size of a memory file");
    if (static_cast<std::uint64_t>(status.st_size) != bytes) return invalid("a memory file of another size than its region", bytes);
    bytes_ = bytes;
    return map();
  }

 private:
  Result<void> map() {
    if (bytes_ == 0) return {};
    memory_ = ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, fd_, 0);
    if (memory_ != MAP_FAILED) return {};
    memory_ = nullptr;
    return io_error("cannot map a memory file", bytes_);
  }

  static constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

  int fd_ = -1;
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

class HeldReader final : public HeldSnapshot, public PageReader {
 public:
  explicit HeldReader(Reader& reader) : reader_(reader), pages_(dynamic_cast<PageReader*>(&reader)), files_(reader.regions().size()) {}

  Result<void> load(const RestoreOptions& options) {
    for (std::size_t region = 0; region < files_.size(); ++region) {
      if (reader_.regions()[region].kind == RegionKind::kMemory) SNAP_TRY(load(region, "vmsnap-region", options));
    }
    return {};
  }

  Result<void> load(std::size_t region, const char* name, const RestoreOptions& options) {
    RestoreOptions fresh = options;
    fresh.target_is_zero = true;
    SNAP_TRY(files_[region].make(static_cast<std::size_t>(reader_.regions()[region].size), name));
    // Written, not mapped: a page that is written whole need not be cleared first.
    SNAP_TRY(restore_to_file(reader_, region, files_[region].fd(), 0, fresh));
    return files_[region].seal();
  }

  Result<void> take(std::size_t region, int memory_fd) {
    return files_[region].take(memory_fd, static_cast<std::size_t>(reader_.regions()[region].size));
  }

  std::span<const RegionInfo> regions() const override { return reader_.regions(); }
  RegionStats region_stats(std::size_t region) const override { return reader_.region_stats(region); }
  Digest region_digest(std::size_t region) const override { return reader_.region_digest(region); }
  const Metadata& metadata() const override { return reader_.metadata(); }
  const Digest& digest() const override { return reader_.digest(); }
  std::uint32_t block_bytes() const override { return reader_.block_bytes(); }
  std::uint64_t file_bytes() const override { return reader_.file_bytes(); }
  const std::optional<ParentRef>& parent_ref() const override { return reader_.parent_ref(); }
  Reader* parent() const override { return reader_.parent(); }
  unsigned depth() const override { return reader_.depth(); }
  Result<Digest> block_digest(std::size_t region, std::uint64_t block) override { return reader_.block_digest(region, block); }
  Result<Digest> range_digest(std::size_t region, unsigned height, std::uint64_t number) override {
    return reader_.range_digest(region, height, number);
  }
  Result<Extent> extent(std::size_t region, std::uint64_t offset, std::uint64_t end) override { return reader_.extent(region, offset, end); }
  void limit_cache(std::size_t bytes) override { reader_.limit_cache(bytes); }
  std::span<const std::byte> held(std::size_t region) const override { return files_[region].bytes(); }
  int memory_fd(std::size_t region) const override { return files_[region].fd(); }

  Result<void> read(std::size_t region, std::uint64_t offset, std::span<std::byte> out) override {
    if (region >= files_.size() || files_[region].fd() < 0) return reader_.read(region, offset, out);
    const auto bytes = files_[region].bytes();
    if (offset > bytes.size() || out.size() > bytes.size() - offset) return invalid("a read past the end of its region", offset);
    return read_into(region, offset, out, {});
  }

  Result<void> read_into(std::size_t region, std::uint64_t offset, std::span<std::byte> out, const ReadTask& task) override {
    if (files_[region].fd() < 0) return pages_ != nullptr ? pages_->read_into(region, offset, out, task) : reader_.read(region, offset, out);
    if (!out.empty()) std::memcpy(out.data(), files_[region].bytes().data() + offset, out.size());
    return {};
  }

  Result<bool> in_place(std::size_t region, std::uint64_t offset, std::uint64_t bytes) override {
    return pages_ != nullptr ? pages_->in_place(region, offset, bytes) : Result<bool>(reader_.depth() == 0);
  }

  Result<Extent> extent_until(std::size_t region, std::uint64_t offset, std::uint64_t end) override {
    return pages_ != nullptr ? pages_->extent_until(region, offset, end) : reader_.extent(region, offset, end);
  }

  Result<void> read_batch(std::span<const RegionRead> batch) override {
    for (const RegionRead& each : batch) SNAP_TRY(read(each.region, each.offset, each.out));
    return {};
  }

 private:
  Reader& reader_;
  PageReader* pages_;
  std::vector<MemoryFile> files_;
};

bool is_memory(const Reader& reader, std::size_t region) {
  return region < reader.regions().size() && reader.regions()[region].kind == RegionKind::kMemory;
}

}  // namespace

Result<std::unique_ptr<HeldSnapshot>> hold_in_memory(Reader& reader, const RestoreOptions& options) {
  auto held = std::make_unique<HeldReader>(reader);
  SNAP_TRY(held->load(options));
  return std::unique_ptr<HeldSnapshot>(std::move(held));
}

Result<std::unique_ptr<HeldSnapshot>> hold_region(Reader& reader, std::size_t region, const char* name, const RestoreOptions& options) {
  if (!is_memory(reader, region)) return invalid("no such memory region", region);
  auto held = std::make_unique<HeldReader>(reader);
  SNAP_TRY(held->load(region, name, options));
  return std::unique_ptr<HeldSnapshot>(std::move(held));
}

Result<std::unique_ptr<HeldSnapshot>> hold_with(Reader& reader, std::size_t region, int memory_fd) {
  if (!is_memory(reader, region)) return invalid("no such memory region", region);
  auto held = std::make_unique<HeldReader>(reader);
  SNAP_TRY(held->take(region, memory_fd));
  return std::unique_ptr<HeldSnapshot>(std::move(held));
}

}  // namespace snap
