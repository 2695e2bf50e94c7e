// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>

#include "base/fail.h"
#include "vmm/qemu_stream.h"

namespace snap {
namespace {

constexpr const char* kEnds = "the migration stream ends in its head";
constexpr std::size_t kMaxHeadBytes = 64 * 1024;  // what there is takes a hundredth
constexpr std::uint32_t kMaxMachineName = 255;
constexpr std::uint32_t kMaxCapabilities = 256;
constexpr std::string_view kGlobalState = "\x0bglobalstate";
constexpr std::size_t kRunstateBytes = 100;

/// Takes and keeps.
class HeadParser {
 public:
  explicit HeadParser(ForwardStream& stream) : stream_(stream) {}

  Result<QemuHead> run() {
    const std::uint64_t at = stream_.offset();
    SNAP_TRY_ASSIGN(magic, be32());
    if (magic != kQemuMagic) return corrupt(at, "not a migration stream of QEMU");
    SNAP_TRY_ASSIGN(version, be32());
    if (version != kQemuVersion) return unsupported(at + 4, "unknown version of the migration stream", version);
    SNAP_TRY_ASSIGN(type, stream_.look(1, kEnds));
    if (*type == std::byte{kQemuConfiguration}) SNAP_TRY(configuration());
    head_.without_lists = std::move(rest_);
    return std::move(head_);
  }

 private:
  Result<std::span<const std::byte>> take(std::size_t count) {
    if (count > kMaxHeadBytes - head_.bytes.size()) return fail(Code::kLimit, "the head of the migration stream is larger than 64 KiB", stream_.offset());
    SNAP_TRY_ASSIGN(at, stream_.take(count, kEnds));
    append(head_.bytes, {at, count});
    append(rest_, {at, count});
    return std::span(at, count);
  }
  Result<std::uint32_t> be32() {
    SNAP_TRY_ASSIGN(bytes, take(4));
    return load_be32(bytes.data());
  }
  Result<std::string> counted(std::size_t count) {
    SNAP_TRY_ASSIGN(bytes, take(count));
    return std::string(text_of(bytes));
  }
  Result<std::string> short_text() {
    SNAP_TRY_ASSIGN(length, take(1));
    return counted(std::to_integer<std::size_t>(length[0]));
  }

  Result<void> configuration() {
    const std::uint64_t at = stream_.offset();
    SNAP_TRY(take(1));
    SNAP_TRY_ASSIGN(length, be32());
    if (length == 0 || length > kMaxMachineName) return corrupt(at, "a machine type of illegal length", length);
    SNAP_TRY_ASSIGN(machine, counted(length));
    const bool printable = std::all_of(machine.begin(), machine.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (!printable) return corrupt(at, "a machine type that is no text");
    head_.machine = std::move(machine);
    head_.has_configuration = true;
    while (true) {
      SNAP_TRY_ASSIGN(type, stream_.look(1, kEnds));
      if (*type != std::byte{kQemuSubsection}) return {};
      SNAP_TRY(subsection());
    }
  }

  Result<void> subsection() {
    const std::uint64_t at = stream_.offset();
    const std::size_t begin = rest_.size();
    SNAP_TRY(take(1));
    SNAP_TRY_ASSIGN(name, short_text());
    SNAP_TRY(be32());
    if (name == "configuration/target-page-bits") {
      SNAP_TRY_ASSIGN(bits, be32());
      if (bits != 12) return unsupported(at, "a guest whose pages are not of 4 KiB", bits);
    } else if (name == "configuration/capabilities") {
      SNAP_TRY(capabilities());
      rest_.resize(begin);
    } else if (name == "configuration/uuid") {
      SNAP_TRY(take(16));
    } else {
      return unsupported(at, "a configuration of the migration stream that is not known");
    }
    return {};
  }

  Result<void> capabilities() {
    const std::uint64_t at = stream_.offset();
    SNAP_TRY_ASSIGN(count, be32());
    if (count > kMaxCapabilities) return corrupt(at, "too many capabilities in the migration stream", count);
    for (std::uint32_t i = 0; i < count; ++i) {
      SNAP_TRY_ASSIGN(name, short_text());
      head_.ignores_shared |= name == "x-ignore-shared";
      head_.mapped_ram |= name == "mapped-ram";
    }
    return {};
  }

  ForwardStream& stream_;
  QemuHead head_;
  Bytes rest_;
};

}  // namespace

Result<QemuHead> take_qemu_head(ForwardStream& stream) { return HeadParser(stream).run(); }

Result<QemuHead> parse_qemu_head(std::span<const std::byte> bytes) {
  // What follows is looked at, not taken: any byte but a subsection's will do.
  Bytes ended(bytes.begin(), bytes.end());
  ended.push_back(std::byte{kQemuEof});
  const auto memory = memory_source(ended);
  const auto source = range_stream(*memory, 0, ended.size());
  const ImportOptions options;
  ForwardStream stream(*source, options);
  SNAP_TRY_ASSIGN(head, take_qemu_head(stream));
  if (stream.offset() != bytes.size()) return corrupt(stream.offset(), "bytes behind the head of the migration stream");
  return head;
}

std::optional<std::size_t> find_description(std::span<const std::byte> devices) {
  std::size_t end = devices.size();
  while (end != 0 && devices[end - 1] == std::byte{0}) --end;
  if (end == 0 || devices[end - 1] != std::byte{'}'}) return std::nullopt;
  // 00 06 be32 length, '{' … '}'
  for (std::size_t at = end - 1; at-- > 6;) {
    if (devices[at] != std::byte{'{'} || load_be32(&devices[at - 4]) != end - at) continue;
    if (devices[at - 5] == std::byte{kQemuDescription} && devices[at - 6] == std::byte{kQemuEof}) return at - 6;
  }
  return std::nullopt;
}

std::string runstate_of(std::span<const std::byte> devices) {
  const auto name = bytes_of(kGlobalState);
  const auto found = std::search(devices.begin(), devices.end(), name.begin(), name.end());
  // be32 instance, be32 version, be32 size, the text.
  const auto rest = devices.subspan(static_cast<std::size_t>(found - devices.begin()));
  const std::size_t text_at = kGlobalState.size() + 12;
  if (rest.size() < text_at + kRunstateBytes) return {};
  std::string state;
  for (const std::byte byte : rest.subspan(text_at, kRunstateBytes)) {
    const auto c = std::to_integer<char>(byte);
    if (c == '\0') return state;
    if (std::islower(static_cast<unsigned char>(c)) == 0 && c != '-') return {};
    state.push_back(c);
  }
  return {};
}

}  // namespace snap
