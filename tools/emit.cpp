// SPDX-License-Identifier: Apache-2.0
#include "emit.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "signals.h"
#include "snap/import.h"
#include "snap/restore.h"
#include "text.h"

namespace snap::tool {
namespace {

std::string names_of(const Reader& reader) {
  std::string names;
  for (const RegionInfo& region : reader.regions()) names += (names.empty() ? "" : ", ") + printable(region.name);
  return names;
}

/// Takes the wanted regions out of what a stream delivers and appends them to the output.
class RawVisitor final : public StreamVisitor {
 public:
  RawVisitor(std::string wanted, Output& output) : wanted_(std::move(wanted)), output_(output) {}

  Result<void> region_begin(std::size_t, const RegionInfo& info) override {
    const bool memory = info.kind == RegionKind::kMemory;
    if (wanted_.empty() && memory && count_ != 0 && info.name == kMainRamName) return kMainIsLater;
    if (wanted_.empty() && memory && info.name == kSurplusRamName) return kNoMain;
    if (memory && took_state_ && info.name == wanted_) return kMemoryIsLater;
    taking_ = wanted_ == "all" ? memory : count_ == 0 && (wanted_.empty() ? memory : info.name == wanted_);
    rival_ = wanted_.empty() && memory && count_ != 0 && main_name_ != kMainRamName;
    if (taking_ && ++count_ == 1) main_name_ = info.name;
    took_state_ |= taking_ && !memory;
    at_ = 0;
    return {};
  }

  Result<void> region_bytes(std::size_t, std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (!taking_) return {};
    if (Result<void> filled = fill_to(offset); !filled) return filled;
    at_ += bytes.size();
    return output_.sink().write(bytes);
  }

  Result<void> region_end(std::size_t, std::uint64_t size) override {
    if (rival_ && size > total_) return kMainIsLater;
    if (!taking_) return {};
    total_ += size;
    return fill_to(size);
  }

  bool found() const { return count_ != 0; }
  std::uint64_t total() const { return total_; }

 private:
  static constexpr Error kMainIsLater{
      .code = Code::kInvalidArgument,
      .what = "the main memory is not the first region of this stream; name a region with --region, or convert from a file"};

  static constexpr Error kNoMain{.code = Code::kNotFound,
                                 .what = "none of the memory regions counts as the main memory; name one with --region"};
  static constexpr Error kMemoryIsLater{.code = Code::kInvalidArgument,
                                        .what = "a state and a memory region have that name, and the state comes first; convert from a file"};

  Result<void> fill_to(std::uint64_t offset) {
    const std::uint64_t gap = offset - at_;
    at_ = offset;
    if (output_.fresh()) return seek_over(gap);
    static constexpr std::byte kZeros[64 * 1024] = {};
    for (std::uint64_t left = gap; left != 0;) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left, sizeof kZeros));
      if (Result<void> written = output_.sink().write(std::span(kZeros, part)); !written) return written;
      left -= part;
    }
    return {};
  }

  Result<void> seek_over(std::uint64_t gap) const {
    if (gap == 0 || ::lseek(output_.fd(), static_cast<off_t>(gap), SEEK_CUR) >= 0) return {};
    return Error{.code = Code::kIo, .sys_errno = static_cast<std::int16_t>(errno), .what = "cannot seek"};
  }

  std::string wanted_;
  Output& output_;
  std::string main_name_;
  unsigned count_ = 0;
  bool taking_ = false;
  bool took_state_ = false;
  bool rival_ = false;  ///< the open region may turn out to be larger than the one taken for the main memory
  std::uint64_t at_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace

std::vector<std::size_t> choose_regions(const Reader& reader, const std::string& wanted, const std::string& file) {
  std::vector<std::size_t> chosen;
  std::optional<std::size_t> one;
  if (wanted == "all") {
    for (std::size_t i = 0; i < reader.regions().size(); ++i) {
      if (reader.regions()[i].kind == RegionKind::kMemory) chosen.push_back(i);
    }
  } else if (wanted.empty()) {
    one = main_memory(reader);
  } else {
    one = reader.find(RegionKind::kMemory, wanted);
    if (!one) one = reader.find(RegionKind::kState, wanted);
  }
  if (one) chosen.push_back(*one);
  if (!chosen.empty()) return chosen;
  const std::string what = wanted.empty()     ? "no region counts as the main memory; name one with --region"
                           : wanted == "all" ? "no memory region"
                                             : fmt::format("no region '{}'", printable(wanted));
  throw Failure{kExitNotFound, fmt::format("{}: {}; there are: {}", file, what, names_of(reader))};
}

Result<std::uint64_t> emit_raw(Reader& reader, const std::vector<std::size_t>& regions, Output& output, unsigned threads,
                               Tally& tally) {
  const RestoreOptions options{
      .threads = threads, .target_is_zero = output.fresh(), .progress = &tally.done, .cancel = &cancel_flag()};
  std::uint64_t total = 0;
  for (const std::size_t region : regions) total += reader.regions()[region].size;
  tally.total = total;
  std::uint64_t at = 0;
  for (const std::size_t region : regions) {
    const Result<void> done = output.seekable() ? restore_to_file(reader, region, output.fd(), at, options)
                                                : restore_to_sink(reader, region, output.sink(), options);
    if (!done) return done.error();
    at += reader.regions()[region].size;
  }
  return total;
}

Result<std::uint64_t> emit_raw_stream(Input& input, const std::string& wanted, const ParentPlaces& places,
                                      const std::string& destination, Output& output) {
  RawVisitor visitor(wanted, output);
  StreamParents parents(input, places, destination);
  const Result<StreamResult> result = read_stream(input.stream(), visitor, parents.finder());
  if (!result) parents.fail_if_theirs(result.error());
  if (!result) return result.error();
  if (!visitor.found()) return Error{.code = Code::kNotFound, .what = "the stream has no such region"};
  // What was skipped at the end is not yet part of the file's size.
  if (output.fresh() && ::ftruncate(output.fd(), static_cast<off_t>(visitor.total())) != 0) {
    return Error{.code = Code::kIo, .sys_errno = static_cast<std::int16_t>(errno), .what = "cannot set the size"};
  }
  return visitor.total();
}

}  // namespace snap::tool
