// SPDX-License-Identifier: Apache-2.0
#include "file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <new>

namespace snap::view {

namespace {

// Few enough to stay in a processor's cache. Pages of our own: the kernel takes a longer way to its one page of zeros, which all share.
constexpr std::size_t kZeroBytes = 64u << 10;

std::byte* map(std::size_t bytes) {
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

/// One of those who may pass a gate at a time; null: everybody.
class Through {
 public:
  explicit Through(std::counting_semaphore<>* gate) : gate_(gate) {
    if (gate_ != nullptr) gate_->acquire();
  }
  ~Through() {
    if (gate_ != nullptr) gate_->release();
  }
  Through(const Through&) = delete;
  Through& operator=(const Through&) = delete;

 private:
  std::counting_semaphore<>* gate_;
};

}  // namespace

Answer::Answer() : memory_(map(kMostRead + kZeroBytes)) { std::memset(memory_ + kMostRead, 0, kZeroBytes); }

Answer::~Answer() { ::munmap(memory_, kMostRead + kZeroBytes); }

void Answer::clear() {
  taken_ = 0;
  pieces_.clear();
}

std::span<std::byte> Answer::take(std::size_t bytes) {
  const std::span<std::byte> room(memory_ + taken_, bytes);
  append(room.data(), bytes);
  taken_ += bytes;
  return room;
}

void Answer::add_zeros(std::size_t bytes) {
  if (bytes < kShort) {
    const auto room = take(bytes);
    std::memset(room.data(), 0, room.size());
    return;
  }
  for (; bytes > kZeroBytes; bytes -= kZeroBytes) append(memory_ + kMostRead, kZeroBytes);
  append(memory_ + kMostRead, bytes);
}

void Answer::add(std::span<const std::byte> bytes) {
  if (bytes.size() >= kShort) return append(bytes.data(), bytes.size());
  std::memcpy(take(bytes.size()).data(), bytes.data(), bytes.size());
}

void Answer::append(const void* bytes, std::size_t length) {
  if (!pieces_.empty() && static_cast<const std::byte*>(pieces_.back().iov_base) + pieces_.back().iov_len == bytes) {
    pieces_.back().iov_len += length;
  } else {
    pieces_.push_back({const_cast<void*>(bytes), length});
  }
}

File::File(Reader& reader, std::vector<Stretch> stretches, std::uint64_t size) : reader_(reader), stretches_(std::move(stretches)), size_(size) {
  stored_ = count_stored();
}

File::File(Reader& reader, std::string text) : reader_(reader), size_(text.size()), stored_(text.size()) {
  const auto bytes = std::as_bytes(std::span(text));
  head_.assign(bytes.begin(), bytes.end());
}

File::~File() {
  if (spool_ >= 0) ::close(spool_);
}

Result<void> File::prepare() {
  const std::lock_guard lock(preparing_);
  if (!prepare_) return {};
  if (auto done = prepare_(*this); !done) return done;
  prepare_ = nullptr;
  ready_ = true;
  return {};
}

void File::set_spool(int fd, std::uint64_t size) {
  spool_ = fd;
  size_ = size;
}

std::uint64_t File::count_stored() const {
  std::map<std::size_t, std::uint64_t> shown;  // of each region
  for (const Stretch& each : stretches_) shown[each.region] += each.length;
  std::uint64_t bytes = 0;
  for (const auto& [region, length] : shown) {
    // Of a difference only what it stores itself is known without a look.
    const std::uint64_t records = reader_.parent_ref() ? ~std::uint64_t{0} : reader_.region_stats(region).block_records;
    bytes += records > length / reader_.block_bytes() ? length : records * reader_.block_bytes();
  }
  return bytes;
}

Stretch File::at(std::uint64_t offset) const {
  const auto after = std::upper_bound(stretches_.begin(), stretches_.end(), offset, [](std::uint64_t o, const Stretch& each) { return o < each.at; });
  if (after != stretches_.begin()) {
    const Stretch& before = *std::prev(after);
    const std::uint64_t inside = offset - before.at;
    if (inside < before.length) return {offset, before.length - inside, before.region, before.offset + inside};
  }
  return {offset, (after == stretches_.end() ? size() : after->at) - offset, kHole, 0};
}

Result<void> File::read(std::uint64_t offset, std::size_t length, Answer& answer) {
  answer.clear();
  const std::uint64_t size = size_;
  if (offset >= size) return {};
  length = static_cast<std::size_t>(std::min<std::uint64_t>({length, size - offset, kMostRead}));
  if (spool_ >= 0) {
    const auto room = answer.take(length);
    const ssize_t got = ::pread(spool_, room.data(), length, static_cast<off_t>(offset));
    if (got != static_cast<ssize_t>(length)) return Error{.code = Code::kIo, .sys_errno = static_cast<std::int16_t>(got < 0 ? errno : EIO), .what = "cannot read a temporary file"};
    return {};
  }
  while (length != 0) {
    if (offset < head_.size()) {
      const auto bytes = std::span(head_).subspan(static_cast<std::size_t>(offset));
      const std::size_t taken = std::min(length, bytes.size());
      answer.add(bytes.first(taken));
      offset += taken;
      length -= taken;
      continue;
    }
    Stretch part = at(offset);
    part.length = std::min<std::uint64_t>(part.length, length);
    if (part.region == kHole) {
      answer.add_zeros(static_cast<std::size_t>(part.length));
    } else if (auto done = read_memory(part, answer); !done) {
      return done;
    }
    offset += part.length;
    length -= static_cast<std::size_t>(part.length);
  }
  return {};
}

// Zeros are not decoded into memory of ours only to be copied from there.
Result<void> File::read_memory(const Stretch& part, Answer& answer) {
  const std::uint64_t end = part.offset + part.length;
  for (std::uint64_t offset = part.offset; offset < end;) {
    const auto extent = reader_.extent(part.region, offset, end);
    if (!extent) return extent.error();
    const auto bytes = static_cast<std::size_t>(extent->length);
    if (!extent->data) {
      answer.add_zeros(bytes);
    } else {
      const Through through(gate_);
      if (auto done = reader_.read(part.region, offset, answer.take(bytes)); !done) return done;
    }
    offset += bytes;
  }
  return {};
}

Result<Extent> File::extent(std::uint64_t offset) {
  if (spool_ >= 0) return Extent{offset, size_ - offset, true};
  if (offset < head_.size()) return Extent{offset, head_.size() - offset, true};
  const Stretch part = at(offset);
  if (part.region == kHole) return Extent{offset, part.length, false};
  const auto found = reader_.extent(part.region, part.offset, part.offset + part.length);
  if (!found) return found.error();
  return Extent{offset, found->length, found->data};
}

Result<std::uint64_t> File::next(std::uint64_t offset, bool data) {
  while (offset < size_) {
    const auto found = extent(offset);
    if (!found) return found.error();
    if (found->data == data) return offset;
    offset += found->length;
  }
  return size();
}

void File::shown(std::uint64_t offset, std::uint64_t length, const std::function<void(const Stretch&)>& visit) const {
  const std::uint64_t end = std::min<std::uint64_t>(offset + length, size_);
  while (offset < end) {
    Stretch part = at(offset);
    part.length = std::min(part.length, end - offset);
    if (part.region != kHole) visit(part);
    offset += part.length;
  }
}

void File::places(std::size_t region, std::uint64_t offset, std::uint64_t length, const std::function<void(const Stretch&)>& visit) const {
  for (const Stretch& each : stretches_) {
    if (each.region != region) continue;
    const std::uint64_t first = std::max(offset, each.offset);
    const std::uint64_t last = std::min(offset + length, each.offset + each.length);
    if (first < last) visit({each.at + (first - each.offset), last - first, region, first});
  }
}

}  // namespace snap::view
