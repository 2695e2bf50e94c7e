// SPDX-License-Identifier: Apache-2.0
// An ELF core becomes memory regions of up to 64 stretches each, in the order of the file, and a state of its notes.
#include <algorithm>
#include <string>

#include "base/bytes.h"
#include "base/fail.h"
#include "format/limits.h"
#include "snap/import.h"
#include "vmm/elf_core.h"
#include "vmm/forward.h"

namespace snap {
namespace {

using elf::Load;

constexpr const char* kEnds = "the ELF core ends early";
constexpr std::uint64_t kStepBytes = 1u << 20;
constexpr std::uint64_t kMostHeadBytes = 64u << 20;

/// Where the core's bytes come from, and how they go into the open region.
class CoreBytes {
 public:
  virtual ~CoreBytes() = default;
  /// The next stretch or notes; ascending where the core can be read in one pass.
  virtual Result<void> copy(const Load& load, Writer& writer) = 0;
  virtual Result<void> append_to(Bytes& bytes, const Load& notes) = 0;
};

class FileBytes final : public CoreBytes {
 public:
  FileBytes(RandomSource& file, const ImportOptions& options) : file_(file), options_(options) {}

  Result<void> copy(const Load& load, Writer& writer) override {
    const std::uint64_t end = load.at + load.there;
    for (std::uint64_t at = load.at; at < end;) {
      if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) return fail(Code::kCancelled, "cancelled", at);
      SNAP_TRY_ASSIGN(found, file_.next_data(at));
      // Whole pages: what stands behind a hole begins a page as before.
      std::uint64_t step = (std::clamp(found, at, end) - at) / kPageBytes * kPageBytes;
      if (step != 0) {
        SNAP_TRY(writer.skip(step));
      } else {
        step = std::min(kStepBytes, end - at);
        SNAP_TRY(writer.write_from(file_, at, step));
      }
      at += step;
      if (options_.progress != nullptr) options_.progress->fetch_add(step, std::memory_order_relaxed);
    }
    return {};
  }

  Result<void> append_to(Bytes& bytes, const Load& notes) override {
    const std::size_t before = bytes.size();
    bytes.resize(before + static_cast<std::size_t>(notes.there));
    SNAP_TRY_ASSIGN(got, file_.read_at(notes.at, std::span(bytes).subspan(before)));
    return got == notes.there ? Result<void>() : truncated(notes.at + got, kEnds);
  }

 private:
  RandomSource& file_;
  const ImportOptions& options_;
};

class PipeBytes final : public CoreBytes {
 public:
  explicit PipeBytes(ForwardStream& stream) : stream_(stream) {}

  Result<void> copy(const Load& load, Writer& writer) override {
    return each_piece(load, [&](std::span<const std::byte> piece) { return writer.write(piece); });
  }
  Result<void> append_to(Bytes& bytes, const Load& notes) override {
    return each_piece(notes, [&](std::span<const std::byte> piece) { return append(bytes, piece), Result<void>(); });
  }

 private:
  template <typename Take>
  Result<void> each_piece(const Load& load, Take take) {
    if (load.there == 0) return {};
    SNAP_TRY(stream_.skip(load.at - stream_.offset(), kEnds));
    for (std::uint64_t left = load.there; left != 0;) {
      const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(left, ForwardStream::kBufferBytes));
      SNAP_TRY_ASSIGN(bytes, stream_.take(now, kEnds));
      SNAP_TRY(take(std::span(bytes, now)));
      left -= now;
    }
    return {};
  }

  ForwardStream& stream_;
};

/// A pipe's first bytes, kept while the tables are read, and then the rest.
class KeptFront final : public ByteSource {
 public:
  explicit KeptFront(ByteSource& source) : source_(source) {}

  Result<void> read_front(std::uint64_t at, std::span<std::byte> out) {
    if (at > kMostHeadBytes || out.size() > kMostHeadBytes - at) {
      return unsupported(at, "an ELF core whose program headers stand behind its memory cannot come through a pipe");
    }
    const auto end = static_cast<std::size_t>(at) + out.size();
    if (end > front_.size()) {
      const std::size_t before = front_.size();
      front_.resize(end);
      SNAP_TRY_ASSIGN(got, read_full(source_, std::span(front_).subspan(before)));
      front_.resize(before + got);
      if (front_.size() < end) return truncated(front_.size(), kEnds);
    }
    std::copy_n(front_.begin() + static_cast<std::ptrdiff_t>(at), out.size(), out.begin());
    return {};
  }

  Result<std::size_t> read(std::span<std::byte> out) override {
    if (taken_ == front_.size()) return source_.read(out);
    const std::size_t now = std::min(out.size(), front_.size() - taken_);
    std::copy_n(front_.begin() + static_cast<std::ptrdiff_t>(taken_), now, out.begin());
    taken_ += now;
    return now;
  }

 private:
  ByteSource& source_;
  Bytes front_;
  std::size_t taken_ = 0;
};

class ElfImport {
 public:
  ElfImport(const ElfCore& core, CoreBytes& bytes, Writer& writer) : core_(core), bytes_(bytes), writer_(writer) {}

  Result<void> run() {
    SNAP_TRY(writer_.set_metadata("source.format", format_name(Format::kElf)));
    SNAP_TRY(writer_.set_metadata(elf::kClassKey, core_.wide ? "64" : "32"));
    SNAP_TRY(writer_.set_metadata(elf::kMachineKey, std::to_string(core_.machine)));
    if (core_.flags != 0) SNAP_TRY(writer_.set_metadata(elf::kFlagsKey, std::to_string(core_.flags)));
    const std::span<const Load> loads = core_.loads;
    for (std::size_t first = 0; first < loads.size(); first += format::kMaxPlacements) {
      const std::size_t index = first / format::kMaxPlacements;
      const std::string name = index == 0 ? std::string("ram") : "ram." + std::to_string(index);
      SNAP_TRY(region(name, loads.subspan(first, std::min<std::size_t>(format::kMaxPlacements, loads.size() - first))));
    }
    SNAP_TRY(notes_before(~std::uint64_t{0}));
    return notes_.empty() ? Result<void>() : write_state(writer_, elf::kNotesState, notes_);
  }

 private:
  /// One stretch behind the other; a page of the region never mixes pages of the guest, so that equal pages stay equal.
  Result<void> region(const std::string& name, std::span<const Load> loads) {
    RegionInfo info;
    info.name = name;
    info.size = 0;
    for (const Load& load : loads) {
      info.size += gap(info.size, load.address);
      info.placements.push_back({load.address, info.size, load.bytes});
      info.size += load.bytes;
    }
    SNAP_TRY(writer_.begin_region(info));
    std::uint64_t at = 0;
    for (std::size_t i = 0; i < loads.size(); ++i) {
      SNAP_TRY(skip(info.placements[i].offset - at));
      SNAP_TRY(notes_before(loads[i].at));
      SNAP_TRY(bytes_.copy(loads[i], writer_));
      SNAP_TRY(skip(loads[i].bytes - loads[i].there));
      at = info.placements[i].offset + loads[i].bytes;
    }
    return writer_.end_region();
  }

  static std::uint64_t gap(std::uint64_t end, std::uint64_t address) { return (address - end) % kPageBytes; }

  Result<void> skip(std::uint64_t bytes) { return bytes == 0 ? Result<void>() : writer_.skip(bytes); }

  Result<void> notes_before(std::uint64_t at) {
    for (; next_notes_ < core_.notes.size() && core_.notes[next_notes_].at < at; ++next_notes_) {
      notes_.resize(ceil_div(notes_.size(), 4) * 4);
      SNAP_TRY(bytes_.append_to(notes_, core_.notes[next_notes_]));
    }
    return {};
  }

  const ElfCore& core_;
  CoreBytes& bytes_;
  Writer& writer_;
  Bytes notes_;
  std::size_t next_notes_ = 0;
};

}  // namespace

Result<void> import_elf(RandomSource& file, Writer& writer, const ImportOptions& options) {
  SNAP_TRY_ASSIGN(size, file.size());
  const auto read = [&](std::uint64_t at, std::span<std::byte> out) -> Result<void> {
    if (at > size || out.size() > size - at) return truncated(size, kEnds);
    SNAP_TRY_ASSIGN(got, file.read_at(at, out));
    return got == out.size() ? Result<void>() : truncated(at + got, kEnds);
  };
  SNAP_TRY_ASSIGN(core, parse_elf_core(read));
  for (const std::vector<Load>* list : {&core.notes, &core.loads}) {
    for (const Load& load : *list) {
      if (load.there != 0 && (load.at > size || load.there > size - load.at)) return truncated(size, kEnds);
    }
  }
  FileBytes bytes(file, options);
  return ElfImport(core, bytes, writer).run();
}

Result<void> import_elf_stream(ByteSource& pipe, Writer& writer, const ImportOptions& options) {
  KeptFront front(pipe);
  SNAP_TRY_ASSIGN(core, parse_elf_core([&](std::uint64_t at, std::span<std::byte> out) { return front.read_front(at, out); }));
  if (!core.one_pass) return unsupported(0, "an ELF core whose segments share bytes of the file cannot come through a pipe");
  ForwardStream stream(front, options);
  PipeBytes bytes(stream);
  SNAP_TRY(ElfImport(core, bytes, writer).run());
  // Who writes the core is not to find the pipe closed before its end.
  Bytes rest(64 * 1024);
  while (true) {
    SNAP_TRY_ASSIGN(got, front.read(rest));
    if (got == 0) return {};
  }
}

}  // namespace snap
