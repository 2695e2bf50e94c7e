// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "io/file.h"

namespace snap {

namespace {

class MemorySource final : public RandomSource {
 public:
  explicit MemorySource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  Result<std::uint64_t> size() override { return std::uint64_t{bytes_.size()}; }
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), bytes_.size() - offset));
    if (count != 0) std::memcpy(out.data(), bytes_.data() + offset, count);
    return count;
  }
  std::span<const std::byte> bytes_at(std::uint64_t offset, std::size_t length) override {
    return offset <= bytes_.size() && length <= bytes_.size() - offset ? bytes_.subspan(static_cast<std::size_t>(offset), length)
                                                                       : std::span<const std::byte>();
  }

 private:
  std::span<const std::byte> bytes_;
};

class MemorySink final : public ByteSink {
 public:
  explicit MemorySink(std::vector<std::byte>& bytes) : bytes_(bytes) {}
  Result<void> write(std::span<const std::byte> bytes) override {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }

 private:
  std::vector<std::byte>& bytes_;
};

}  // namespace

Result<void> RandomSource::read_batch(std::span<ReadRequest> batch) {
  for (ReadRequest& request : batch) {
    SNAP_TRY_ASSIGN(done, read_at(request.offset, request.out));
    request.done = done;
  }
  return {};
}

std::span<const std::byte> RandomSource::bytes_at(std::uint64_t, std::size_t) { return {}; }
Result<std::uint64_t> RandomSource::next_data(std::uint64_t offset) { return offset; }

std::unique_ptr<RandomSource> memory_source(std::span<const std::byte> bytes) { return std::make_unique<MemorySource>(bytes); }
std::unique_ptr<ByteSink> memory_sink(std::vector<std::byte>& bytes) { return std::make_unique<MemorySink>(bytes); }

}  // namespace snap
