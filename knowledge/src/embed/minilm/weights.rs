//! The safetensors format: eight bytes with the length of a JSON header, the header, the values. Hands out tensors of
//! 32-bit floats and believes no offset.

use std::collections::HashMap;

use ndarray::{Array1, Array2};
use serde::Deserialize;

/// The header of a model of six layers has some 10 KiB.
const HEADER_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Deserialize)]
struct Tensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

pub(super) struct Weights<'a> {
    tensors: HashMap<String, Tensor>,
    values: &'a [u8],
}

impl<'a> Weights<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or("is cut off")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| "has no header")?;
        if length > HEADER_BYTES_MAX {
            return Err("has no header: is it a safetensors file?".to_owned());
        }
        let (header, values) = rest.split_at_checked(length).ok_or("is cut off in its header")?;
        let mut header: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(header).map_err(|error| format!("its header cannot be read: {error}"))?;
        header.remove("__metadata__");
        let mut tensors = HashMap::with_capacity(header.len());
        for (name, value) in header {
            let tensor: Tensor =
                serde_json::from_value(value).map_err(|error| format!("the tensor {name}: {error}"))?;
            // Some exports put the model below a name of its own.
            let name = name.strip_prefix("bert.").unwrap_or(&name).to_owned();
            tensors.insert(name, tensor);
        }
        Ok(Self { tensors, values })
    }

    fn values(&self, name: &str, dimensions: usize) -> Result<(&Tensor, Vec<f32>), String> {
        let tensor = self.tensors.get(name).ok_or_else(|| format!("the tensor {name} is missing"))?;
        if tensor.dtype != "F32" || tensor.shape.len() != dimensions {
            return Err(format!("the tensor {name} is {} {:?}", tensor.dtype, tensor.shape));
        }
        let [from, to] = tensor.data_offsets;
        let bytes = self.values.get(from..to).ok_or_else(|| format!("the tensor {name} is cut off"))?;
        let values: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        let wanted = tensor.shape.iter().try_fold(4_usize, |product, size| product.checked_mul(*size));
        if wanted != Some(bytes.len()) || values.iter().any(|value| !value.is_finite()) {
            return Err(format!("the tensor {name} does not hold what its shape says"));
        }
        Ok((tensor, values))
    }

    pub(super) fn vector(&self, name: &str) -> Result<Array1<f32>, String> {
        Ok(Array1::from_vec(self.values(name, 1)?.1))
    }

    pub(super) fn matrix(&self, name: &str) -> Result<Array2<f32>, String> {
        let (tensor, values) = self.values(name, 2)?;
        let shape = match tensor.shape.as_slice() {
            [rows, columns] => (*rows, *columns),
            _ => (0, 0),
        };
        Array2::from_shape_vec(shape, values).map_err(|error| format!("the tensor {name}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, values: &[f32]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_tensor_is_read_as_its_header_says_and_never_beyond_the_file() {
        let good =
            file(r#"{"bert.w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#, &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(Weights::parse(&good).unwrap().matrix("w").unwrap()[(1, 0)], 3.0);
        assert!(Weights::parse(&good).unwrap().vector("w").is_err());
        assert!(Weights::parse(&good).unwrap().matrix("other").unwrap_err().contains("missing"));
        let check =
            |header: &str| Weights::parse(&file(header, &[1.0])).map(|weights| weights.vector("w").is_ok());
        assert_eq!(check(r#"{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}"#), Ok(false));
        assert_eq!(check(r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#), Ok(false));
        assert_eq!(check(r#"{"w":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#), Ok(false));
        assert!(check("not json").is_err());
        assert!(Weights::parse(&[255; 8]).is_err() && Weights::parse(b"abc").is_err());
        assert!(
            Weights::parse(&file(r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, &[f32::NAN]))
                .unwrap()
                .vector("w")
                .is_err()
        );
    }
}
