//! The columns as Apache Parquet.

use std::fs::File;
use std::sync::Arc;

use anyhow::Context as _;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;

use super::table::{Column, Table};

/// Writes the table; every column may hold nulls.
pub fn write(file: File, table: &Table) -> anyhow::Result<()> {
    let fields = table
        .columns
        .iter()
        .map(|(name, column)| {
            let (physical, logical) = match column {
                Column::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                Column::Integer(_) => (Physical::INT64, None),
                Column::Unsigned(_) => (Physical::INT64, Some(LogicalType::integer(64, false))),
                Column::Float(_) => (Physical::DOUBLE, None),
            };
            Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()
                .map(Arc::new)
        })
        .collect::<Result<_, _>>()?;
    let schema = Type::group_type_builder("experiment")
        .with_fields(fields)
        .build()?;
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (name, column) in &table.columns {
        match column {
            Column::Text(values) => {
                let bytes = |text: &String| ByteArray::from(text.as_bytes().to_vec());
                write_column::<ByteArrayType, _>(&mut group, values, bytes)
            }
            Column::Integer(values) => write_column::<Int64Type, _>(&mut group, values, |v| *v),
            // Parquet stores unsigned integers by their bits.
            Column::Unsigned(values) => {
                write_column::<Int64Type, _>(&mut group, values, |v| v.cast_signed())
            }
            Column::Float(values) => write_column::<DoubleType, _>(&mut group, values, |v| *v),
        }
        .with_context(|| format!("column {name}"))?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

fn write_column<D: DataType, T>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[Option<T>],
    stored: impl Fn(&T) -> D::T,
) -> anyhow::Result<()> {
    let mut writer = group
        .next_column()?
        .context("the schema has fewer columns than the table")?;
    let present: Vec<D::T> = values.iter().flatten().map(stored).collect();
    // Definition level 1 where a value is present, 0 where it is null.
    let levels: Vec<i16> = values.iter().map(|v| i16::from(v.is_some())).collect();
    writer
        .typed::<D>()
        .write_batch(&present, Some(&levels), None)?;
    writer.close()?;
    Ok(())
}
