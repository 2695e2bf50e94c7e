// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "snap/import.h"
#include "vmm/decompress.h"
#include "vmm/ram_regions.h"

namespace snap {
namespace {

struct KnownFormat {
  Format format;
  const char* name;
  std::string_view magic;
};
constexpr std::size_t kDetectBytes = 512;
/// bzip2 gives nothing before it has a whole block, of 900 KB.
constexpr std::size_t kDetectCompressedBytes = 1u << 20;
constexpr std::size_t kHeaderBytes = 64;  // of a snapshot, where it names no features
constexpr std::array<KnownFormat, 9> kFormats = {{
    {Format::kVmsnap, "vmsnap", std::string_view("\x89VMS\r\n\x1a\n", 8)},
    {Format::kRaw, "raw", ""},
    {Format::kQcow2, "qcow2", "QFI\xfb"},
    {Format::kQemu, "qemu", ""},
    {Format::kMappedRam, "mapped-ram", ""},
    {Format::kVmstate, "vmstate", "QEVM"},
    {Format::kLibvirt, "libvirt", "LibvirtQemud"},
    {Format::kXen, "xen", "Xen saved domain, xl format\n"},
    {Format::kElf, "elf", "\x7f""ELF"},
}};

bool stands(std::span<const std::byte> bytes, std::string_view text, std::size_t at) {
  return bytes.size() >= at + text.size() && std::memcmp(bytes.data() + at, text.data(), text.size()) == 0;
}

/// The same magic begins the VM states of old and the migration streams of today: those have a configuration, or a RAM section of
/// version 4 first.
bool is_migration_stream(std::span<const std::byte> first_bytes) {
  constexpr std::string_view kBegins("QEVM\0\0\0\3", 8);
  constexpr std::string_view kRam("\3ram\0\0\0\0\0\0\0\4", 12);
  constexpr std::size_t kStart = 8;       // u8 type, be32 section id, the name and versions
  constexpr std::size_t kName = kStart + 5;
  return stands(first_bytes, kBegins, 0) && (stands(first_bytes, "\7", kStart) || (stands(first_bytes, "\1", kStart) && stands(first_bytes, kRam, kName)));
}

/// A snapshot whose first bytes are damaged is not to be taken for raw memory: most of the magic, its letters, or a record behind
/// the header.
bool damaged_snapshot(std::span<const std::byte> first_bytes) {
  const std::string_view magic = kFormats[0].magic;
  std::size_t fitting = 0;
  for (std::size_t i = 0; i < std::min(magic.size(), first_bytes.size()); ++i) {
    fitting += std::to_integer<unsigned char>(first_bytes[i]) == static_cast<unsigned char>(magic[i]);
  }
  return fitting >= 6 || stands(first_bytes, "VMS", 1) || stands(first_bytes, "vmsr\1", kHeaderBytes) || stands(first_bytes, "vmsr\5", kHeaderBytes);
}

/// Of what is compressed as a whole, once; raw where it is not, or is damaged so early.
Format format_inside(std::span<const std::byte> first_bytes) {
  const Compression compression = compression_of(first_bytes);
  if (compression == Compression::kNone) return Format::kRaw;
  const auto memory = memory_source(first_bytes);
  const auto source = range_stream(*memory, 0, first_bytes.size());
  const ImportOptions options;
  ForwardStream stream(*source, options);
  const auto inside = decompressed(stream, compression);
  std::array<std::byte, 64> first{};
  std::size_t count = 0;
  while (count < first.size()) {
    const auto got = inside->read(std::span(first).subspan(count));
    if (!got || *got == 0) break;
    count += *got;
  }
  const auto known = std::span(first).first(count);
  return compression_of(known) == Compression::kNone ? detect_format(known) : Format::kRaw;
}

}  // namespace

const char* format_name(Format format) {
  for (const KnownFormat& known : kFormats) {
    if (known.format == format) return known.name;
  }
  return "";
}

std::optional<Format> format_from_name(std::string_view name) {
  for (const KnownFormat& known : kFormats) {
    if (known.name == name) return known.format;
  }
  return std::nullopt;
}

std::size_t detect_bytes(std::span<const std::byte> first_bytes) {
  return compression_of(first_bytes) == Compression::kNone ? kDetectBytes : kDetectCompressedBytes;
}

Format detect_format(std::span<const std::byte> first_bytes) {
  if (is_migration_stream(first_bytes)) return Format::kQemu;
  for (const KnownFormat& known : kFormats) {
    const std::string_view magic = known.magic;
    if (!magic.empty() && stands(first_bytes, magic, 0)) return known.format;
  }
  if (damaged_snapshot(first_bytes)) return Format::kVmsnap;
  const Format inside = format_inside(first_bytes);
  return inside == Format::kQemu || inside == Format::kLibvirt ? inside : Format::kRaw;
}

std::optional<std::size_t> main_memory(const Reader& reader) {
  if (reader.find(RegionKind::kMemory, kSurplusRamName)) return std::nullopt;
  if (const auto named = reader.find(RegionKind::kMemory, kMainRamName)) return named;
  const auto regions = reader.regions();
  std::optional<std::size_t> largest;
  for (std::size_t index = 0; index < regions.size(); ++index) {
    if (regions[index].kind != RegionKind::kMemory) continue;
    if (!largest || regions[index].size > regions[*largest].size) largest = index;
  }
  return largest;
}

}  // namespace snap
